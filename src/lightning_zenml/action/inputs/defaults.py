"""Every input of the action, what it is where it is not given, and what stands in for it then."""

from __future__ import annotations

from collections.abc import Mapping

DEFAULTS: Mapping[str, str] = {
    "run": "",
    "pipeline": "",
    "config": "",
    "submit-from": "studio",
    "working-directory": ".",
    "studio-name": "",
    "studio-pool": "",
    "machine-type": "",
    "commands": "",
    "requirements": "",
    "env": "",
    "async": "false",
    "attach": "",
    "settings": "",
    "stack": "",
    "project": "",
    "timeout-minutes": "",
    "max-cost": "",
    "budget": "",
    "keep-studio": "auto",
    "keep-warm": "",
    "stop-idle-gpu": "",
    "stop-on-cancel": "true",
    "comment": "auto",
    "comment-key": "",
    "leg": "",
    "check-run": "false",
    "deployment": "false",
    "command-from": "",
    "command-parameters": "",
    "matrix": "",
    "report": "",
    "pictures": "none",
    "github-token": "",
    "lightning-user-id": "",
    "lightning-api-key": "",
    "lightning-username": "",
    "lightning-teamspace": "",
    "lightning-org": "",
    "zenml-store-url": "",
    "zenml-store-api-key": "",
}
"""Every input and what it is when it is not given or empty, as in action.yml."""

FROM_ENVIRONMENT: Mapping[str, str] = {
    "lightning-user-id": "LIGHTNING_USER_ID",
    "lightning-api-key": "LIGHTNING_API_KEY",
    "lightning-username": "LIGHTNING_USERNAME",
    "lightning-teamspace": "LIGHTNING_TEAMSPACE",
    "lightning-org": "LIGHTNING_ORG",
    "zenml-store-url": "ZENML_STORE_URL",
    "zenml-store-api-key": "ZENML_STORE_API_KEY",
}
"""The variable that stands in for an input that is not given."""
