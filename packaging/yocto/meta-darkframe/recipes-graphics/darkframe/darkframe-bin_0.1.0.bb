SUMMARY = "Headless EGL / OpenGL ES rendering into dma-bufs (binary of make dist)"
LICENSE = "MIT | Apache-2.0"
LIC_FILES_CHKSUM = "file://darkframe-${PV}-${DARKFRAME_ARCH}/LICENSE-MIT;md5=${DARKFRAME_LICENSE_MD5}"

# The .tar.gz files of `make dist`, in DARKFRAME_DIST (local.conf).
DARKFRAME_DIST ?= "${THISDIR}/files"
FILESEXTRAPATHS:prepend := "${DARKFRAME_DIST}:"
DARKFRAME_ARCH:aarch64 = "aarch64"
DARKFRAME_ARCH:arm = "armv7"
DARKFRAME_LICENSE_MD5 = "e2dd824d35067c2d042cc185943eaab2"

SRC_URI = "file://darkframe-${PV}-${DARKFRAME_ARCH}.tar.gz"
S = "${WORKDIR}"

# EGL, GLES and GBM are opened at run time: whichever the image has.
RRECOMMENDS:${PN} = "virtual-libgles2"
COMPATIBLE_HOST = "(aarch64|arm).*-linux"
INSANE_SKIP:${PN} = "already-stripped ldflags"

do_configure[noexec] = "1"
do_compile[noexec] = "1"

do_install() {
    install -Dm0755 ${S}/darkframe-${PV}-${DARKFRAME_ARCH}/bin/darkframe ${D}${bindir}/darkframe
    install -d ${D}${datadir}/darkframe
    cp -r --no-preserve=ownership ${S}/darkframe-${PV}-${DARKFRAME_ARCH}/share/darkframe/. ${D}${datadir}/darkframe/
}

FILES:${PN} += "${datadir}/darkframe"
PROVIDES = "darkframe"
RPROVIDES:${PN} = "darkframe"
