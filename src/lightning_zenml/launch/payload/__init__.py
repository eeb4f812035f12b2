"""The small program that runs in the studio: supervises the command, records status, cleans up.

Standard library only: it runs straight from our wheel, before anything is installed. The client talks to it by
`python -m lightning_zenml.launch.payload <verb>` through the studio's `execute`; every verb is safe to repeat.
"""
