package client

import (
	"errors"
	"testing"
	"time"
)

func TestRetryAfterIsBounded(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"": 0, "x": 0, "-1": 0, "7": 7 * time.Second, "9223372037": 24 * time.Hour,
		"9223372036854775807": 24 * time.Hour,
	} {
		var e *Error
		if err := withRetry(&Error{}, text); !errors.As(err, &e) || e.RetryAfter != want {
			t.Errorf("%q: %v", text, err)
		}
	}
}
