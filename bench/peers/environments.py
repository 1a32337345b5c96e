"""Virtual environments: one for each wheel, made once."""

import shutil
import subprocess
import sys

# The first that works here is taken: a wheel is built for one version of Python, and for the C++ library of one system.
WHEELS = {
    "openfhe": [("3.10", "openfhe==1.6.1.0.22.4"), ("3.12", "openfhe==1.6.1.0.24.4")],
    "seal": [("3.11", "tenseal==0.3.18")],
    "chart": [("3.12", "matplotlib==3.10.7"), ("3.11", "matplotlib==3.10.7"), ("3.10", "matplotlib==3.10.7")],
}
MODULES = {"openfhe": "openfhe", "seal": "tenseal.sealapi", "chart": "matplotlib"}


def works(*command):
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def interpreter(version, named):
    """`python3.10` and its like; a shim of that name that leads nowhere does not count."""
    found = named.get(version) or shutil.which(f"python{version}")
    return found if found and works(found, "-c", "import venv") else None


def environment(name, folder, named):
    """The Python of the environment `name`, and what is installed in it; or None, with the reason on standard error."""
    reasons = []
    for version, requirement in WHEELS[name]:
        place = folder / f"{name}-{requirement.replace('==', '-')}-py{version}"
        python = place / "bin" / "python"
        if works(python, "-c", f"import {MODULES[name]}") if python.exists() else False:
            return python, requirement
        base = interpreter(version, named)
        if base is None:
            reasons.append(f"there is no python{version} for {requirement}; name one with --python {version}=PATH")
            continue
        print(f"making an environment for {requirement}", file=sys.stderr)
        install = [python, "-m", "pip", "install", "--quiet", "--only-binary", ":all:", requirement]
        if not works(base, "-m", "venv", "--clear", place) or not works(*install):
            reasons.append(f"{requirement} does not install under python{version}")
        elif not works(python, "-c", f"import {MODULES[name]}"):
            reasons.append(f"{requirement} installs under python{version} and does not load (another C++ library?)")
        else:
            return python, requirement
    print(f"{name} is left out: " + "; ".join(reasons), file=sys.stderr)
    return None
