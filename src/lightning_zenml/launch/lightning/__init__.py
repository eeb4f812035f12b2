"""The platform: studios, machines, jobs and pipelines of Lightning AI. The only importer of lightning-sdk."""
