# The deployment guide types `just setup && just build`; the work is in the Makefile.

setup:
    make setup

build:
    make build
