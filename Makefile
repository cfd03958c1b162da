# Builds the C library, then installs what was built:
#
#   make                                                        (needs cargo)
#   make install PREFIX=/usr/local [LIBDIR=...] [INCLUDEDIR=...] [DESTDIR=...]   (does not)
#   make check            runs the tests
#   make check-fast       library tests, hashes and the same-bits tests, lightly optimized
#   make bless            rewrites the header and the list of exported symbols; make bless-hashes the hashes of results
#   make bench CASE=name  one bench; make neon, make memory: the tests for NEON, emulated; sanitizers and valgrind
#   make uninstall        with the same directories
#
# Installs the shared library with its version links, the static library, the headers, and a pkg-config file. Paths may be
# relative and may have spaces.

PREFIX ?= /usr/local
LIBDIR ?= $(PREFIX)/lib
INCLUDEDIR ?= $(PREFIX)/include
CARGO ?= cargo
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
INSTALL ?= install

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The ABI's name, as build.rs makes it: 0.y before 1.0, then the major version.
ABI := $(shell echo $(VERSION) | sed -E 's/^(0\.[0-9]+)\..*/\1/; s/^([1-9][0-9]*)\..*/\1/')
# What rustc --print native-static-libs says for Linux, but for the unwinder: compilers add the one that suits the link, -lgcc_s
# or, for a program without shared libraries, -lgcc_eh. tests/c_programs.rs links with the same.
STATIC_LIBS := -lutil -lrt -lpthread -lm -ldl -lc

# Quoted for the shell.
quoted = '$(subst ','\'',$(1))'
lib := $(call quoted,$(DESTDIR)$(LIBDIR))
include := $(call quoted,$(DESTDIR)$(INCLUDEDIR))
built := $(call quoted,$(TARGET_DIR)/release)
# What the pkg-config file says has to be absolute. It escapes spaces by itself where they stand in quotes.
absolute = $(if $(filter /%,$(firstword $(1))),$(1),$(CURDIR)/$(1))

define PKG_CONFIG
prefix=$(call absolute,$(PREFIX))
libdir=$(call absolute,$(LIBDIR))
includedir=$(call absolute,$(INCLUDEDIR))

Name: simdrnn
Description: Recurrent layers on the CPU
Version: $(VERSION)
Libs: -L"$${libdir}" -lsimdrnn
Libs.private: $(STATIC_LIBS)
Cflags: -I"$${includedir}"
endef
export PKG_CONFIG

.PHONY: all install uninstall check check-fast bless bless-hashes bench neon memory

all:
	$(CARGO) build --release --lib

check:
	$(CARGO) test

check-fast:
	CARGO_PROFILE_TEST_OPT_LEVEL=1 $(CARGO) test --lib --test hashes --test same_bits

# The header first: the list of symbols is read from it.
bless:
	SIMDRNN_BLESS=1 $(CARGO) test --test header
	SIMDRNN_BLESS=1 $(CARGO) test --test c_surface

# Results change only on purpose: CONTRIBUTING.md.
bless-hashes:
	SIMDRNN_BLESS=1 $(CARGO) test --test hashes

bench:
	$(CARGO) bench -- $(CASE)

# Those that .ci/run asks for.
neon:
	.ci/neon --lib --test golden_cases --test hashes --test same_bits -- --skip where_there_is_work_to_split

memory:
	.ci/memory

# Does not build: whoever installs may be another user, without cargo.
install:
	@for kind in a so; do test -f $(built)/libsimdrnn.$$kind || { \
	    printf '%s is not there: run make first, or name its folder by TARGET_DIR\n' $(built)/libsimdrnn.$$kind >&2; exit 1; }; done
	$(INSTALL) -d $(lib)/pkgconfig $(include)/simdrnn
	$(INSTALL) -m 644 include/simdrnn.h include/simdrnn.hpp $(include)
	$(INSTALL) -m 644 include/simdrnn/*.hpp $(include)/simdrnn
	$(INSTALL) -m 644 $(built)/libsimdrnn.a $(lib)
	$(INSTALL) -m 755 $(built)/libsimdrnn.so $(lib)/libsimdrnn.so.$(VERSION)
	ln -sf libsimdrnn.so.$(VERSION) $(lib)/libsimdrnn.so.$(ABI)
	ln -sf libsimdrnn.so.$(ABI) $(lib)/libsimdrnn.so
	printf '%s\n' "$$PKG_CONFIG" > $(lib)/pkgconfig/simdrnn.pc

# Folders that others may use stay, unless nothing is in them.
uninstall:
	rm -f $(include)/simdrnn.h $(include)/simdrnn.hpp $(lib)/libsimdrnn.a $(lib)/libsimdrnn.so $(lib)/libsimdrnn.so.$(ABI) \
	    $(lib)/libsimdrnn.so.$(VERSION) $(lib)/pkgconfig/simdrnn.pc
	for header in include/simdrnn/*.hpp; do rm -f $(include)/simdrnn/"$${header##*/}"; done
	-rmdir $(lib)/pkgconfig $(include)/simdrnn $(include) $(lib) 2>/dev/null
