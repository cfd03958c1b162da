# Builds the C library and installs it: make install PREFIX=/usr/local [DESTDIR=...]
#
# Installs the shared library with its version links, the static library, both headers, and a pkg-config file.

PREFIX ?= /usr/local
CARGO ?= cargo
TARGET_DIR ?= $(or $(CARGO_TARGET_DIR),target)
INSTALL ?= install

VERSION := $(shell sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)
# The ABI's name, as build.rs makes it: 0.y before 1.0, then the major version.
ABI := $(shell echo $(VERSION) | sed -E 's/^(0\.[0-9]+)\..*/\1/; s/^([1-9][0-9]*)\..*/\1/')
# What rustc --print native-static-libs says for Linux; tests/c_programs.rs links with the same.
STATIC_LIBS := -lgcc_s -lutil -lrt -lpthread -lm -ldl -lc

lib := $(DESTDIR)$(PREFIX)/lib
include := $(DESTDIR)$(PREFIX)/include

.PHONY: all install uninstall

all:
	$(CARGO) build --release --lib

install: all
	$(INSTALL) -d $(lib)/pkgconfig $(include)/simdrnn
	$(INSTALL) -m 644 include/simdrnn.h include/simdrnn.hpp $(include)
	$(INSTALL) -m 644 include/simdrnn/*.hpp $(include)/simdrnn
	$(INSTALL) -m 644 $(TARGET_DIR)/release/libsimdrnn.a $(lib)
	$(INSTALL) -m 755 $(TARGET_DIR)/release/libsimdrnn.so $(lib)/libsimdrnn.so.$(VERSION)
	ln -sf libsimdrnn.so.$(VERSION) $(lib)/libsimdrnn.so.$(ABI)
	ln -sf libsimdrnn.so.$(ABI) $(lib)/libsimdrnn.so
	printf '%s\n' 'prefix=$(PREFIX)' 'libdir=$${prefix}/lib' 'includedir=$${prefix}/include' '' 'Name: simdrnn' \
	    'Description: Recurrent layers on the CPU' 'Version: $(VERSION)' 'Libs: -L$${libdir} -lsimdrnn' \
	    'Libs.private: $(STATIC_LIBS)' 'Cflags: -I$${includedir}' > $(lib)/pkgconfig/simdrnn.pc

uninstall:
	rm -rf $(include)/simdrnn
	rm -f $(include)/simdrnn.h $(include)/simdrnn.hpp $(lib)/libsimdrnn.a $(lib)/libsimdrnn.so* $(lib)/pkgconfig/simdrnn.pc
