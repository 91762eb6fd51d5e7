package sidecar

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/probity-dev/probity/strict/ascii"
)

// endpointForm is a host with an optional port, and the path of a provider: what the interface calls
// maa_endpoint and akv_endpoint. Microsoft's side-car knows no path.
var endpointForm = regexp.MustCompile(
	`^([0-9A-Za-z]([0-9A-Za-z.-]{0,252}[0-9A-Za-z])?|\[[0-9A-Fa-f:.]{2,45}\])` + `(:[0-9]{1,5})?(/p/[0-9A-Za-z-]{1,64})?$`)

// parseEndpoint checks an endpoint, and writes it in one way.
func parseEndpoint(text string) (string, error) {
	parts := endpointForm.FindStringSubmatch(text)
	if parts == nil {
		return "", fmt.Errorf("expected HOST, HOST:PORT or HOST/p/PROVIDER without https://, found %.140q", text)
	}
	port := strings.TrimPrefix(parts[3], ":")
	if n, err := strconv.Atoi(port); port != "" && (err != nil || n < 1 || n > 65535) {
		return "", fmt.Errorf("expected a port from 1 to 65535, found %s", port)
	}
	return ascii.Lower(parts[1]) + parts[3] + parts[4], nil
}

// allowed checks an endpoint that a call names.
func (h *handler) allowed(member, text string) (string, error) {
	if text == "" {
		return "", malformed(errors.New("the member " + member + " is missing"))
	}
	name, err := parseEndpoint(text)
	if err != nil {
		return "", malformed(fmt.Errorf("%s: %w", member, err))
	}
	if len(h.endpoints) > 0 && !slices.Contains(h.endpoints, name) {
		return "", fmt.Errorf("%s: expected one of %s, found %q; add it with --endpoint", member,
			strings.Join(h.endpoints, ", "), name)
	}
	return name, nil
}
