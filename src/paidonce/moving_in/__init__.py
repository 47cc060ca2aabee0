"""What a team runs when paidonce takes the place of its server: looks at what is there already, and
plans. See docs/moving-in.md."""
