"""The platform: studios, machines, jobs and pipelines of Lightning AI. The only importer of lightning-sdk."""

from lightning_zenml.launch.lightning import on_demand

on_demand.activate()
