import importlib.util
import sys
from pathlib import Path

_SPEC = importlib.util.spec_from_file_location("release_material", Path(__file__).parent / "release_material.py")
material = sys.modules.setdefault(_SPEC.name, importlib.util.module_from_spec(_SPEC))
if not hasattr(material, "ReleaseMaker"):
    _SPEC.loader.exec_module(material)

kit, release_maker, release = material.kit, material.release_maker, material.release
edit_lines = material.edit_lines
