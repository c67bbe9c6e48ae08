"""Loading a bitstream into a board, by openFPGALoader."""

import shutil
import subprocess
from pathlib import Path

from ..protocol.version import layout_hash
from .bitstream import BITSTREAM, BOARDS, Manifest, ManifestError, folder_of, read_manifest
from .fpga_tools import ToolError

LOADER = "openFPGALoader"


def checked(board: str, preset: str, root: Path) -> Manifest:
    """The manifest of the bitstream that is to be loaded, known to speak with the host of this version.

    Raises
    ------
    ManifestError : There is no bitstream, it is not what its manifest says, or its messages are laid out otherwise.
    """
    again = f"build it: `bandgap bitstream {board} --preset {preset}`"
    try:
        manifest = read_manifest(folder_of(board, preset, root))
    except ManifestError as error:
        raise ManifestError(f"{error}; {again}") from error
    ours = f"{layout_hash():#018x}"
    if manifest.layout_hash != ours:
        raise ManifestError(
            f"the bitstream in {folder_of(board, preset, root)} has layout hash {manifest.layout_hash}, this host has "
            f"{ours}: the host would refuse the device; {again}"
        )
    return manifest


def flash(board: str, preset: str, root: Path, *, volatile: bool) -> None:
    """Load a bitstream; openFPGALoader's own words go to the terminal.

    Arguments
    ---------
    volatile : Into the device alone, until it loses its power; else into the board's flash memory.

    Raises
    ------
    ToolError : openFPGALoader is missing or failed.
    """
    if shutil.which(LOADER) is None:
        raise ToolError(
            f"{LOADER} is not installed: `apt install openfpgaloader` on Debian and Ubuntu, "
            "`brew install openfpgaloader` on macOS, else see its own documentation"
        )
    path = folder_of(board, preset, root) / BITSTREAM
    place = ["-m"] if volatile else ["-f", "--verify"]
    result = subprocess.run([LOADER, "-b", BOARDS[board].loader, *place, str(path)], check=False)
    if result.returncode:
        raise ToolError(
            f"{LOADER} failed with status {result.returncode}: is the board's USB cable in, has it power, and "
            "may you use it (udev rules)?"
        )
