"""The code of a pipeline becomes an archive, on the machine that submits it."""

from __future__ import annotations

from pathlib import Path

from zenml.logger import get_logger
from zenml.utils.io_utils import get_global_config_directory

from lightning_zenml.codes import Code
from lightning_zenml.launch.errors import LaunchError
from lightning_zenml.package.archive import Archive, pack
from lightning_zenml.package.known import Known
from lightning_zenml.package.repository import Repository

logger = get_logger(__name__)


def pack_code(root: Path) -> Archive:
    """Packs a folder of code, unless ZenML's keys and tokens would be packed with it; warns of what is missing.

    Args:
        root: the folder of the code.

    Returns:
        The archive.

    Raises:
        LaunchError: when ZenML's configuration is among its files.
        PackageError: when it can't be packed.
    """
    repository = Repository.open(root)
    folder = Path(get_global_config_directory())
    if repository.has_of(folder):
        raise LaunchError(
            f"ZenML keeps its keys in {folder}, which lies in the source root {root} and would travel with it. Move "
            "it (ZENML_CONFIG_PATH), list it in .gitignore, or run `zenml init` in the folder of your code.",
            code=Code.PACKAGE,
        )
    archive = pack(repository, Known.of_user())
    for warning in archive.warnings:
        logger.warning(warning)
    return archive
