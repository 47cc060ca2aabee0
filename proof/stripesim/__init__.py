"""The proof that the simulator keeps its promises: bad input, crashes, and books that add up."""
