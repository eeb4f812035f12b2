"""What launches have left in a teamspace that nobody needs any more, and how sure that is."""
