"""Rights to the files of a home: of its owner alone, unless the setting `access` shares them."""

from __future__ import annotations

import os

from twinvec.errors import SettingsError
from twinvec.settings import Settings

# What is taken away from new files and folders, as `umask` of the shell.
UMASKS = {"owner": 0o077, "group": 0o027, "all": 0o022}


def make_home(settings: Settings) -> None:
    """Make the folder of a home that is not there, with the rights that the setting `access` names.

    Raises:
        SettingsError: If it cannot be made.
    """
    try:
        settings.home.parent.mkdir(parents=True, exist_ok=True)
        if not settings.home.is_dir():
            settings.home.mkdir(mode=0o700, exist_ok=True)
            settings.home.chmod(0o777 & ~UMASKS[settings.access])  # whatever the umask is
    except OSError as error:
        raise SettingsError(
            f"home {settings.home} cannot be made: {error.strerror}", "set TWINVEC_HOME to another folder"
        ) from error


def share(settings: Settings) -> None:
    """Let what this process makes from now on have the rights that the setting `access` names."""
    os.umask(UMASKS[settings.access])
