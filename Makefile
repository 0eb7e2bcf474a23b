# What people type.  Meson and Ninja do the work; see meson.build.
#
#   make            build/posthorn
#   make run        installs what is needed, builds, starts a demo post office
#   make check      installs what is needed, builds, runs the tests (under 20 minutes on two cores)
#   make soak       the long ones        make fuzz   the fuzzers, a minute each (FUZZ_SECONDS=)
#   make bench      beside Postfix and Dovecot; writes bench/RESULTS.md
#   make lint       clang-tidy, gcc -fanalyzer, cppcheck, layers
#   make install    DESTDIR= and PREFIX= as usual

PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60

.PHONY: all build run check soak fuzz bench lint install clean deps

all: build

deps:
	@tools/install-deps build

build: deps
	@tools/build build

run: build
	@exec build/posthorn demo $(DEMO)

check:
	@tools/install-deps test
	@tools/check

soak:
	@tools/install-deps test
	@tools/check --soak

fuzz:
	@tools/install-deps test
	@tools/fuzz $(FUZZ_SECONDS)

bench:
	@tools/install-deps bench
	@tools/build build
	@bench/run

lint:
	@tools/install-deps test
	@tools/lint

install: build
	@meson install -C build --no-rebuild $(if $(DESTDIR),--destdir "$(abspath $(DESTDIR))")

clean:
	rm -rf build build-*
