# make demo   what it needs, then the main job: a clip through a shader pipeline, pictures in out/
# make test   what it needs, then every test of every tier that this machine can run
# make dist   binary and .deb package for arm64 boards, below target/dist (docs/cross.md)
# make bench  the measured claims of the README, beside the bare C floor, in one run

.PHONY: demo test bench dist check doc reference clean pictures

demo:
	scripts/setup demo
	cargo build --profile demo --locked
	target/demo/darkframe run examples/enhance.toml
	@echo "pictures: $(CURDIR)/out/   (enhance-*.png, and enhance.y4m for any player)"

test:
	scripts/setup test
	tests/slurm/setup
	tests/run

dist:
	scripts/dist

bench:
	scripts/setup bench
	benches/run

# What a change must pass besides the tests.
check:
	cargo fmt --all --check
	cargo clippy --features mux,vulkan,cuda,wgpu --all-targets --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --features mux,vulkan,cuda,wgpu --no-deps --locked

# The pictures of shaders/README.md, from the shipped photographs.
pictures:
	cargo build --release --locked
	shaders/pictures/make

# docs/pipeline.md from the keys' doc comments.
reference:
	mkdir -p docs
	cargo run --quiet -- schema --markdown > docs/pipeline.md.new
	mv docs/pipeline.md.new docs/pipeline.md

doc:
	cargo doc --no-deps --open

clean:
	cargo clean
	rm -rf out
