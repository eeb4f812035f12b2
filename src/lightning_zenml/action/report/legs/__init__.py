"""One report for several legs: each leg has a row in a comment that all of them write."""
