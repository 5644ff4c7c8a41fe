import importlib.util
import sys
from pathlib import Path

_FILE = Path(__file__).parents[1] / "fusion" / "release_material.py"
_SPEC = importlib.util.spec_from_file_location("release_material", _FILE)
material = sys.modules.setdefault(_SPEC.name, importlib.util.module_from_spec(_SPEC))
if not hasattr(material, "ReleaseMaker"):
    _SPEC.loader.exec_module(material)

kit, release_maker, release = material.kit, material.release_maker, material.release
edit_lines = material.edit_lines
