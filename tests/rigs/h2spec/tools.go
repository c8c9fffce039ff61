//go:build tools

// Package tools names the program that is built from this folder, so that go.mod and go.sum hold it still.
package tools

import _ "github.com/summerwind/h2spec/cmd/h2spec"
