"""Lightning's API as a studio calls it, without the SDK: the requests, and the patience that they need."""
