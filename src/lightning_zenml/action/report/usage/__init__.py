"""What runs have used of their machines, in words, and whether a cheaper one would have done."""
