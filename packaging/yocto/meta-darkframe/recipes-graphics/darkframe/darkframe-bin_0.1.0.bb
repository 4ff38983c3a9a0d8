SUMMARY = "Headless EGL / OpenGL ES rendering into dma-bufs (binary of make dist)"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://LICENSE-MIT;md5=e2dd824d35067c2d042cc185943eaab2 \
                    file://LICENSE-APACHE;md5=3b83ef96387f14655fc854ddc3c6bd57"

# The .tar.gz files of `make dist`, in DARKFRAME_DIST (local.conf).
DARKFRAME_DIST ?= "${THISDIR}/files"
FILESEXTRAPATHS:prepend := "${DARKFRAME_DIST}:"
DARKFRAME_ARCH:aarch64 = "aarch64"
DARKFRAME_ARCH:arm = "armv7"

SRC_URI = "file://darkframe-${PV}-${DARKFRAME_ARCH}.tar.gz"
# Releases before styhead unpack into WORKDIR and have no UNPACKDIR.
S = "${@d.getVar('UNPACKDIR') or d.getVar('WORKDIR')}/darkframe-${PV}-${DARKFRAME_ARCH}"

# Nothing is compiled. EGL, GLES and GBM are opened at run time: whichever the image has.
INHIBIT_DEFAULT_DEPS = "1"
RDEPENDS:${PN} = "glibc libgcc"
RRECOMMENDS:${PN} = "libegl libgles2"
COMPATIBLE_HOST = "(aarch64|arm).*-linux"
INSANE_SKIP:${PN} = "already-stripped ldflags"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -Dm0755 ${S}/bin/darkframe ${D}${bindir}/darkframe
    install -d ${D}${datadir}/darkframe
    cp -r --no-preserve=ownership ${S}/share/darkframe/. ${D}${datadir}/darkframe/
}

FILES:${PN} += "${datadir}/darkframe"
PROVIDES += "darkframe"
RPROVIDES:${PN} = "darkframe"
