# Aliases for people who type make; everything is done by ./desk.
.PHONY: demo test check strict bench doctor

demo:
	./desk demo

test:
	./desk test

# What has to be green before every commit.
check:
	./desk test --fast

strict:
	./desk test --strict

bench:
	./desk bench

doctor:
	./desk doctor
