"""What a project needs, as its files say it: read, and why it can't be had."""
