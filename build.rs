//! Lets the `gbm` crate link where no libgbm is installed.
//!
//! `gbm-sys` asks the linker for `-lgbm`. Darkframe opens libgbm at run time (`src/sys/gbm_dl.rs` defines its functions),
//! so the linker gets an empty stand-in from a folder that it searches before the system's.

use std::path::PathBuf;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if std::env::var_os("CARGO_FEATURE_GBM").is_none() {
        return;
    }
    let folder = PathBuf::from(std::env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("gbm");
    std::fs::create_dir_all(&folder).expect("cannot make a folder in OUT_DIR");
    // An archive without members, and a linker script in place of the shared library.
    std::fs::write(folder.join("libgbm.a"), "!<arch>\n").expect("cannot write to OUT_DIR");
    std::fs::write(folder.join("libgbm.so"), "GROUP ( libgbm.a )\n").expect("cannot write to OUT_DIR");
    println!("cargo::rustc-link-search=native={}", folder.display());
}
