"""The command line `lightning-zenml`: what has been launched, what it left, and how a repository gets there."""
