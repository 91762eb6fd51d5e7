package get

import (
	"net/http"
	"testing"
	"time"
)

func TestRetryAfterIsBounded(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": defaultHold, "x": defaultHold, "-1": defaultHold, "0": 0, "7": 7 * time.Second,
		"600": maxHold, "601": maxHold,
		"9223372036": maxHold, "9223372037": maxHold,
		"9223372036854775807": maxHold, "9223372036854775808": defaultHold,
	} {
		if got := retryAfter(http.Header{"Retry-After": {text}}); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
