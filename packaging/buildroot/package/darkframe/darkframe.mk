################################################################################
#
# darkframe
#
################################################################################

DARKFRAME_VERSION = 0.1.0
# Of `scripts/dist source`, in the project's folder, two above this external tree. It has every crate, since Buildroot builds
# offline; DARKFRAME_OVERRIDE_SRCDIR (local.mk) wants such a tree too.
DARKFRAME_SOURCE = darkframe-$(DARKFRAME_VERSION)-source.tar.gz
DARKFRAME_SITE = $(BR2_EXTERNAL_DARKFRAME_PATH)/../../target/dist
DARKFRAME_SITE_METHOD = file
DARKFRAME_LICENSE = MIT or Apache-2.0
DARKFRAME_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

DARKFRAME_CARGO_BUILD_OPTS = --features mux
DARKFRAME_CARGO_INSTALL_OPTS = --features mux

define DARKFRAME_INSTALL_SHADERS
	mkdir -p $(TARGET_DIR)/usr/share/darkframe
	cp -r $(@D)/shaders $(@D)/board-configs $(TARGET_DIR)/usr/share/darkframe/
endef
DARKFRAME_POST_INSTALL_TARGET_HOOKS += DARKFRAME_INSTALL_SHADERS

$(eval $(cargo-package))
