"""What is sold, the orders that are made of it, how they end unpaid, and their lists."""
