# shellcheck shell=sh source=guest.conf
# Runs inside the build tree (a chroot of the guest's suite): builds the modules that Debian's kernel lacks
# from linux-source, and leaves /tmp/initramfs and /tmp/vmlinux.   modules.sh KERNEL-VERSION
set -eu
version=$1
. /tmp/guest.conf
src=/tmp/src
headers=/lib/modules/$version/build
mkdir -p "$src" /tmp/m /tmp/vkms

tar -C "$src" --strip-components=1 --wildcards -xf /usr/src/linux-source-*.tar.xz \
    '*/drivers/gpu/drm/vkms/*' '*/drivers/media/test-drivers/vicodec/*' '*/drivers/media/test-drivers/vim2m.c' \
    '*/drivers/media/v4l2-core/v4l2-mem2mem.c' '*/drivers/dma-buf/*' '*/scripts/extract-vmlinux'

cp "$src"/drivers/media/v4l2-core/v4l2-mem2mem.c "$src"/drivers/media/test-drivers/vim2m.c \
    "$src"/drivers/media/test-drivers/vicodec/*.[ch] \
    "$src"/drivers/dma-buf/sw_sync.c "$src"/drivers/dma-buf/sync_*.[ch] \
    "$src"/drivers/dma-buf/heaps/cma_heap.c /tmp/m
cat >/tmp/m/Makefile <<'M'
obj-m := v4l2-mem2mem.o vim2m.o vicodec.o swsync.o
obj-$(if $(CONFIG_DMA_CMA),m) += cma_heap.o
vicodec-y := vicodec-core.o codec-fwht.o codec-v4l2-fwht.o
swsync-y := sw_sync.o sync_debug.o
CFLAGS_sw_sync.o := -I$(src)
M
# sw_sync is written to be built in: give it a module's start and licence, its trace header beside it,
# and do without a name that kernels before 6.17 or so do not export (used only to print a list that stays empty).
sed -i -e '1i #include <linux/module.h>' -e 's/^late_initcall/module_init/' \
    -e 's/sync_file_get_name([^;]*sizeof([a-z]*))/""/' -e '/char buf\[128\];/d' \
    -e '$a MODULE_DESCRIPTION("sw_sync"); MODULE_LICENSE("GPL");' /tmp/m/sync_debug.c
sed -i 's/TRACE_INCLUDE_PATH .*/TRACE_INCLUDE_PATH ./' /tmp/m/sync_trace.h
make -s -j"$(nproc)" -C "$headers" M=/tmp/m modules

cp -r "$src"/drivers/gpu/drm/vkms /tmp/
make -s -j"$(nproc)" -C "$headers" M=/tmp/vkms CONFIG_DRM_VKMS=m modules

extra=/lib/modules/$version/extra
mkdir -p "$extra"
for m in $EXTRA_MODULES $OPTIONAL_MODULES; do
    for f in "/tmp/m/$m.ko" "/tmp/vkms/$m.ko"; do
        [ ! -e "$f" ] || strip --strip-debug -o "$extra/$m.ko" "$f"
    done
done
depmod "$version"

# Only the modules that are wanted and what they need, unpacked: unpacking costs the guest more than reading.
tree=/tmp/initramfs
dest=$tree/lib/modules/$version
mkdir -p "$tree/bin" "$dest"
cp /bin/busybox "$tree/bin/busybox"
for m in $BOOT_MODULES $DEVICE_MODULES $EXTRA_MODULES; do
    modprobe -S "$version" --show-depends "$m"
done | awk '$1 == "insmod" { print $2 }' >/tmp/wanted
for m in $OPTIONAL_MODULES; do
    [ ! -e "$extra/$m.ko" ] || echo "$extra/$m.ko" >>/tmp/wanted
done
# In the order in which initramfs-init loads them.
for m in $BOOT_MODULES; do
    modprobe -S "$version" --show-depends "$m"
done | awk '$1 == "insmod" && !seen[$2]++ { n = split($2, part, "/"); sub(/\.xz$/, "", part[n]); print part[n] }' >$tree/boot-modules
sort -u /tmp/wanted | while read -r f; do
    case $f in
    *.xz) xz -dc "$f" >"$dest/$(basename "$f" .xz)" ;;
    *) cp "$f" "$dest/" ;;
    esac
done
cp "/lib/modules/$version/modules.builtin" "/lib/modules/$version/modules.builtin.modinfo" "/lib/modules/$version/modules.order" "$dest/"
depmod -b "$tree" "$version"

# QEMU starts an ELF kernel at once; the packed one would first unpack itself, slowly, under emulation.
sh "$src/scripts/extract-vmlinux" "/boot/vmlinuz-$version" >/tmp/vmlinux
test -s /tmp/vmlinux
