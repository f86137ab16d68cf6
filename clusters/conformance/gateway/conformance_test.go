// Package gateway is the Gateway API's conformance suite as a program.
//
// The suite is unchanged but for one word: its echo application's image, which lies in a registry, is the one that the
// environment's ECHO_IMAGE names.
package gateway

import (
	"io/fs"
	"os"
	"regexp"
	"testing"

	"sigs.k8s.io/gateway-api/conformance"
)

var echo = regexp.MustCompile(`(image: )\S+/gateway-api/echo-advanced:\S+`)

type manifests struct{ fs.FS }

func (m manifests) ReadFile(name string) ([]byte, error) {
	content, err := fs.ReadFile(m.FS, name)
	return echo.ReplaceAll(content, []byte("${1}"+os.Getenv("ECHO_IMAGE"))), err
}

func TestConformance(t *testing.T) {
	options := conformance.DefaultOptions(t)
	options.ManifestFS = []fs.FS{manifests{&conformance.Manifests}}
	conformance.RunConformanceWithOptions(t, options)
}
