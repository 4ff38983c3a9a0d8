include $(sort $(wildcard $(BR2_EXTERNAL_DARKFRAME_PATH)/package/*/*.mk))
