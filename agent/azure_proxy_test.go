package agent

import (
	"net/http"
	"testing"
)

func TestThePlatformIsAskedWithoutAProxy(t *testing.T) {
	transport, ok := platformClient.Transport.(*http.Transport)
	if !ok || transport.Proxy != nil {
		t.Error("evidence can be led through a proxy of the environment")
	}
	if err := platformClient.CheckRedirect(nil, nil); err != http.ErrUseLastResponse {
		t.Errorf("redirects are followed: %v", err)
	}
}
