#!/usr/bin/env bash
# The harness calls this before the build, for submissions that stand on OpenFHE. This one does not.
