# Larder: build, test, check, run. `make help` lists the targets. GNU make 4.3.
#
#   BUILD=dir       where everything built goes (default build, build/asan, …)
#   DEBUG=asan      AddressSanitizer + UBSan;  DEBUG=tsan;  DEBUG=ubsan
#   ONLY="base http"  build and unit-test only these folders of proxy/
#   T=test_str      one unit test;  E="-k name"  arguments for pytest

VERSION := 0.1.0
PREFIX  ?= /usr/local
SYSCONFDIR ?= $(if $(filter /usr,$(PREFIX)),/etc,$(PREFIX)/etc)
UNITDIR ?= $(PREFIX)/lib/systemd/system
MANDIR  ?= $(PREFIX)/share/man
BASHCOMPDIR ?= $(PREFIX)/share/bash-completion/completions
FUZZ_SECONDS ?= 20
SOAK_PAIRS   ?= 170000
SOAK_SEED    ?= 1
SOAK_FAILOVERS ?= 160
SOAK_ROUNDS ?= 20

BUILD ?= build$(if $(DEBUG),/$(DEBUG))
BIN   := $(BUILD)/larder
JOBS  ?= $(shell nproc 2>/dev/null || echo 2)

ifeq ($(origin CC),default)
CC := gcc
endif
PKG_CONFIG ?= pkg-config

# ---- flags ------------------------------------------------------------------------------------

WARNINGS := -Wall -Wextra -Wshadow -Wcast-qual -Wmissing-prototypes -Wstrict-prototypes \
            -Wwrite-strings -Werror
HARDEN   := -fstack-protector-strong -D_FORTIFY_SOURCE=2
# The program is linked with link-time optimisation; unit tests use the ordinary code beside it.
CFLAGS   ?= -O2 -g -flto=auto -ffat-lto-objects

ifneq ($(DEBUG),)
SANITIZE_asan  := -fsanitize=address,undefined
SANITIZE_ubsan := -fsanitize=undefined
SANITIZE_tsan  := -fsanitize=thread
SANITIZE_fuzz  := -fsanitize=fuzzer-no-link,address,undefined
ifeq ($(SANITIZE_$(DEBUG)),)
$(error DEBUG=$(DEBUG) is unknown: use asan, tsan or ubsan)
endif
SANITIZE := $(SANITIZE_$(DEBUG)) -fno-omit-frame-pointer
ifneq ($(DEBUG),tsan)
SANITIZE += -fno-sanitize-recover=undefined
endif
HARDEN   :=
CFLAGS   := -O1 -g
endif

PKGS := libevent_core libevent_extra libevent_pthreads openssl libcjson libxxhash libdeflate \
        libsystemd hiredis libcurl
HAVE_LLHTTP := $(shell $(PKG_CONFIG) --exists libllhttp 2>/dev/null && echo yes)
ifeq ($(HAVE_LLHTTP),yes)
PKGS += libllhttp
else
# Debian 12 has llhttp only as the C source inside node-llhttp; it is compiled into the program.
LLHTTP_DIR     ?= /usr/share/llhttp
LLHTTP_INCLUDE ?= /usr/share/include/llhttp
LLHTTP_OBJS    := $(addprefix $(BUILD)/llhttp/,llhttp.o api.o http.o)
LLHTTP_CFLAGS  := -isystem $(LLHTTP_INCLUDE)
LLHTTP_DEFINES := -DLLHTTP_STRICT_MODE=1
endif

PKG_CFLAGS := $(patsubst -I%,-isystem %,$(shell $(PKG_CONFIG) --cflags $(PKGS) 2>/dev/null))
PKG_LIBS   := $(shell $(PKG_CONFIG) --libs $(PKGS) 2>/dev/null)

COMPILE := $(CC) -std=c11 -D_GNU_SOURCE $(CFLAGS) $(WARNINGS) $(HARDEN) $(SANITIZE) -pthread \
           -Iproxy -DLARDER_VERSION='"$(VERSION)"' $(LLHTTP_DEFINES) $(LLHTTP_CFLAGS) \
           $(PKG_CFLAGS) $(EXTRA_CFLAGS)
LINK    := $(CC) $(CFLAGS) $(SANITIZE) -pthread -Wl,--as-needed -Wl,-z,relro,-z,now -Wno-alloc-size-larger-than $(LDFLAGS) \
           $(EXTRA_LDFLAGS)
LIBS    := $(PKG_LIBS) -lm

# ---- sources: whatever is there ---------------------------------------------------------------

SRC_DIRS := $(if $(ONLY),$(wildcard $(addprefix proxy/,$(ONLY))),proxy)
SRCS     := $(sort $(shell find $(SRC_DIRS) -name '*.c' 2>/dev/null))
OBJS     := $(SRCS:proxy/%.c=$(BUILD)/obj/%.o)
MAIN_OBJ := $(BUILD)/obj/main.o

# The dashboard: one page of its parts, as an array of bytes.
PAGE_DIR := proxy/admin/dashboard
ifneq ($(filter proxy/admin/dashboard.c,$(SRCS)),)
OBJS += $(BUILD)/obj/admin/dashboard_page.o
endif
LIB      := $(BUILD)/liblarder$(if $(ONLY),-part).a

UNIT_SRCS := $(sort $(wildcard $(addsuffix $(if $(T),$(T:.c=),test_*).c,tests/unit/ tests/model/)))
UNIT_BINS := $(addprefix $(BUILD)/unit/,$(basename $(notdir $(UNIT_SRCS))))
FUZZ_SRCS := $(sort $(wildcard tests/fuzz/$(if $(T),$(T:.c=),fuzz_*).c))
FUZZ_BINS := $(FUZZ_SRCS:tests/fuzz/%.c=$(BUILD)/%)

C_FILES := $(sort $(shell find proxy tests bench -path '*/node_modules' -prune -o \
             \( -name '*.c' -o -name '*.h' \) -print 2>/dev/null))

.DELETE_ON_ERROR:
.SUFFIXES:
.PHONY: all clean install uninstall unit unit-build e2e soak test conformance conformance-check fuzz fuzz-run bench \
        check format generated-check run help FORCE

all: $(BIN)

help:
	@sed -n 's/^# \{0,1\}//p' Makefile | sed -n '1,6p'
	@echo 'targets: all install clean unit e2e soak test conformance fuzz bench check format run'

# ---- the program ------------------------------------------------------------------------------

$(BIN): $(MAIN_OBJ) $(LIB) $(LLHTTP_OBJS)
	@echo '  LINK  $@'
	@$(LINK) -o $@ $(MAIN_OBJ) $(LIB) $(LLHTTP_OBJS) $(LIBS)

# The archive is made anew when the list of files changes, so that a deleted file leaves it.
$(LIB): $(filter-out $(MAIN_OBJ),$(OBJS)) $(BUILD)/.sources$(if $(ONLY),-part)
	@echo '  AR    $@'
	@rm -f $@ && ar rcs $@ $(filter-out $(MAIN_OBJ),$(OBJS))

$(BUILD)/obj/%.o: proxy/%.c $(BUILD)/.flags | $(BUILD)/.libraries
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(COMPILE) -MMD -MP -c -o $@ $<

$(BUILD)/dashboard.html: $(PAGE_DIR)/page.html $(PAGE_DIR)/style.css $(sort $(wildcard $(PAGE_DIR)/*.js))
	@mkdir -p $(@D)
	@cat $(filter %.js,$^) > $@.js
	@sed -e '/^@STYLE@$$/{r $(PAGE_DIR)/style.css' -e 'd}' -e '/^@SCRIPT@$$/{r $@.js' -e 'd}' $< > $@

$(BUILD)/obj/admin/dashboard_page.o: $(BUILD)/dashboard.html $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  PAGE  $(PAGE_DIR)'
	@{ echo '#include <stddef.h>'; \
	  echo 'extern const unsigned char dashboard_page[];'; \
	  echo 'extern const size_t dashboard_page_size;'; \
	  echo 'const unsigned char dashboard_page[] = {'; \
	  od -An -v -tu1 $< | sed 's/ *\([0-9][0-9]*\)/\1,/g'; \
	  echo '};'; echo 'const size_t dashboard_page_size = sizeof(dashboard_page);'; } > $(@:.o=.c)
	@$(COMPILE) -c -o $@ $(@:.o=.c)

$(BUILD)/llhttp/%.o: $(LLHTTP_DIR)/%.c $(BUILD)/.flags | $(BUILD)/.libraries
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(CC) -std=c11 $(CFLAGS) $(HARDEN) $(SANITIZE) -w $(LLHTTP_DEFINES) -I$(LLHTTP_INCLUDE) \
	  -c -o $@ $<

# These three are rewritten only when their content differs; a change of flags rebuilds all.
$(BUILD)/.flags: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(COMPILE) | $(LINK) $(LIBS))' > $@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv -f $@.new $@

$(BUILD)/.sources $(BUILD)/.sources-part: FORCE
	@mkdir -p $(@D)
	@printf '%s\n' $(SRCS) > $@.new
	@cmp -s $@.new $@ && rm -f $@.new || mv -f $@.new $@

$(BUILD)/.libraries:
	@mkdir -p $(@D)
	@command -v $(PKG_CONFIG) >/dev/null && $(PKG_CONFIG) --exists --print-errors $(PKGS) && \
	  { [ '$(HAVE_LLHTTP)' = yes ] || [ -f '$(LLHTTP_DIR)/llhttp.c' ]; } || \
	  { echo 'larder: libraries are missing; install them with: scripts/install-deps build' >&2; \
	    exit 1; }
	@touch $@

FORCE:

-include $(OBJS:.o=.d) $(wildcard $(BUILD)/unit/*.d) $(wildcard $(BUILD)/fuzz_*.d)

# ---- install ----------------------------------------------------------------------------------

install: $(BIN)
	install -d '$(DESTDIR)$(PREFIX)/bin' '$(DESTDIR)$(SYSCONFDIR)/larder' '$(DESTDIR)$(UNITDIR)' \
	  '$(DESTDIR)$(PREFIX)/share/doc/larder' '$(DESTDIR)$(MANDIR)/man1' \
	  '$(DESTDIR)$(MANDIR)/man5' '$(DESTDIR)$(BASHCOMPDIR)'
	install -m 755 $(BIN) '$(DESTDIR)$(PREFIX)/bin/larder'
	set -e; for f in $(wildcard proxy.conf.example); do \
	  install -m 644 $$f '$(DESTDIR)$(SYSCONFDIR)/larder/'; done
	set -e; for u in larder.service larder.socket; do \
	  sed -e 's,@BINDIR@,$(PREFIX)/bin,g' -e 's,@SYSCONFDIR@,$(SYSCONFDIR),g' systemd/$$u \
	    > '$(DESTDIR)$(UNITDIR)'/$$u; chmod 644 '$(DESTDIR)$(UNITDIR)'/$$u; done
	set -e; for f in $(wildcard README.md LICENSE CHANGELOG.md); do \
	  install -m 644 $$f '$(DESTDIR)$(PREFIX)/share/doc/larder/'; done
	install -m 644 docs/man/larder.1 '$(DESTDIR)$(MANDIR)/man1/larder.1'
	install -m 644 docs/man/proxy.conf.5 '$(DESTDIR)$(MANDIR)/man5/proxy.conf.5'
	$(BIN) completion bash > '$(DESTDIR)$(BASHCOMPDIR)/larder'
	chmod 644 '$(DESTDIR)$(BASHCOMPDIR)/larder'

uninstall:
	rm -f '$(DESTDIR)$(PREFIX)/bin/larder' '$(DESTDIR)$(UNITDIR)/larder.service' \
	  '$(DESTDIR)$(UNITDIR)/larder.socket' '$(DESTDIR)$(SYSCONFDIR)/larder/proxy.conf.example'
	rm -rf '$(DESTDIR)$(PREFIX)/share/doc/larder'
	rm -f '$(DESTDIR)$(MANDIR)/man1/larder.1' '$(DESTDIR)$(MANDIR)/man5/proxy.conf.5' \
	  '$(DESTDIR)$(BASHCOMPDIR)/larder'

clean:
	rm -rf '$(BUILD)'

# ---- tests ------------------------------------------------------------------------------------

$(BUILD)/unit/%: tests/unit/%.c $(LIB) $(LLHTTP_OBJS) $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(COMPILE) -fno-lto -Itests/unit -MMD -MP -MF $@.d -MT $@ -o $@ $< $(LIB) $(LLHTTP_OBJS) $(LIBS) \
	  -lcmocka -Wl,--as-needed

# Models are small programs of their own, without anything of proxy/.
$(BUILD)/unit/%: tests/model/%.c tests/model/journal_rule.c tests/model/journal_rule.h $(BUILD)/.flags
	@mkdir -p $(@D)
	@echo '  CC    $<'
	@$(COMPILE) -fno-lto -Itests/unit -o $@ $(filter %.c,$^) -lcmocka

unit-build: $(UNIT_BINS)

unit: unit-build
	@scripts/run-unit $(UNIT_BINS)

e2e: $(BIN)
	@LARDER_BIN='$(abspath $(BIN))' scripts/run-e2e $(E)

# The long form of what must never happen: a million reads, each judged against what was written
# before it, while everything around breaks (six worlds, SOAK_PAIRS each), and failovers (SOAK_FAILOVERS
# and four tenths as many of rarer kinds; SOAK_ROUNDS of a cluster).
soak: $(BIN)
	@LARDER_BIN='$(abspath $(BIN))' SOAK_PAIRS=$(SOAK_PAIRS) SOAK_SEED=$(SOAK_SEED) \
	  SOAK_FAILOVERS=$(SOAK_FAILOVERS) SOAK_ROUNDS=$(SOAK_ROUNDS) scripts/run-e2e -rA \
	  $(if $(E),$(E),$(addprefix tests/e2e/test_redis_,property.py failover.py cluster.py))

# The public HTTP cache test suite, compared with the committed baseline.
conformance-check: $(BIN)
	@LARDER_BIN='$(abspath $(BIN))' tests/conformance/run

# The same beside the peers; writes tests/conformance/RESULTS.md.
conformance:
	@scripts/install-deps conformance
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@LARDER_BIN='$(abspath $(BIN))' tests/conformance/run --peers

# Everything, on a machine where nothing is installed yet; all runners run, then the sum.
test:
	@MAKE='$(MAKE)' BUILD='$(BUILD)' DEBUG='$(DEBUG)' JOBS='$(JOBS)' scripts/run-tests

# Each harness runs FUZZ_SECONDS from its seeds in tests/fuzz/seeds/NAME (NAME without fuzz_).
fuzz:
	@scripts/install-deps fuzz
	@$(MAKE) --no-print-directory DEBUG=fuzz CC=clang BUILD='$(BUILD)/fuzz' T='$(T)' \
	  FUZZ_SECONDS=$(FUZZ_SECONDS) fuzz-run

$(BUILD)/fuzz_%: tests/fuzz/fuzz_%.c $(LIB) $(LLHTTP_OBJS) $(BUILD)/.flags
	@echo '  CC    $<'
	@$(COMPILE) -fsanitize=fuzzer -MMD -MP -MF $@.d -MT $@ -o $@ $< $(LIB) $(LLHTTP_OBJS) \
	  $(LIBS) -Wl,--as-needed

fuzz-run: $(FUZZ_BINS)
	@FUZZ_SECONDS=$(FUZZ_SECONDS) scripts/run-fuzz $(FUZZ_BINS)

bench:
	@scripts/install-deps bench
	@$(MAKE) --no-print-directory -j$(JOBS) all
	@if [ -x bench/run ]; then LARDER_BIN='$(abspath $(BIN))' bench/run; \
	  else echo 'larder: bench/run is not in this tree' >&2; exit 1; fi

# ---- checks -----------------------------------------------------------------------------------

check:
	@MAKE='$(MAKE)' BUILD='$(BUILD)' JOBS='$(JOBS)' scripts/run-checks $(C_FILES)

format:
	clang-format -i $(C_FILES)

generated-check: $(BIN)
	@if [ -x scripts/check-generated ]; then LARDER_BIN='$(abspath $(BIN))' scripts/check-generated; \
	  else echo 'no generated files to check'; fi

# ---- try it -----------------------------------------------------------------------------------

run:
	@MAKE='$(MAKE)' BUILD='$(BUILD)' DEBUG='$(DEBUG)' JOBS='$(JOBS)' UPSTREAM='$(UPSTREAM)' \
	  PORT='$(PORT)' DEMO_PORT='$(DEMO_PORT)' CONF='$(CONF)' scripts/run
