################################################################################
#
# darkframe
#
################################################################################

DARKFRAME_VERSION = 0.1.0
# The project's own folder, two above this external tree; a release is set with DARKFRAME_OVERRIDE_SRCDIR likewise.
DARKFRAME_SITE = $(BR2_EXTERNAL_DARKFRAME_PATH)/../..
DARKFRAME_SITE_METHOD = local
DARKFRAME_LICENSE = MIT or Apache-2.0
DARKFRAME_LICENSE_FILES = LICENSE-MIT LICENSE-APACHE

define DARKFRAME_INSTALL_SHADERS
	mkdir -p $(TARGET_DIR)/usr/share/darkframe
	cp -r $(@D)/shaders $(@D)/board-configs $(TARGET_DIR)/usr/share/darkframe/
endef
DARKFRAME_POST_INSTALL_TARGET_HOOKS += DARKFRAME_INSTALL_SHADERS

$(eval $(cargo-package))
