// Package get asks vendors' services over HTTP: bounded answers, no redirects,
// and errors that tell what to do next. What it returns is not to be trusted.
package get

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/probity-dev/probity/collateral"
)

// maxBody bounds an answer, in bytes.
const maxBody = 4 << 20

// Throttle makes requests wait for their turn.
type Throttle interface {
	// Wait returns when the next request may be made; done must be called when
	// it was answered.
	Wait(ctx context.Context) (done func(), err error)
	// Hold keeps requests back for a while, as the service asked.
	Hold(ctx context.Context, d time.Duration)
}

// Service is a vendor's service.
type Service struct {
	Client   *http.Client
	Throttle Throttle // nil stands for none
}

// NewClient returns a client for vendors' services: it follows no redirects and
// gives up after the given time.
func NewClient(timeout time.Duration, transport http.RoundTripper) *http.Client {
	return &http.Client{
		Timeout:       timeout,
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// ErrBusy is returned when the service asked to come back later.
var ErrBusy = errors.New("the service asked to try again later")

// Bytes gets a document. The error wraps [collateral.ErrNotFound] where the
// service says that there is none (404, 410), and [ErrBusy] where it throttles.
func (s *Service) Bytes(ctx context.Context, url string) (body []byte, header http.Header, err error) {
	for range tries {
		body, header, err = s.once(ctx, url)
		// Without a throttle no one spaces the next try; the caller pauses.
		if s.Throttle == nil || !errors.Is(err, ErrBusy) {
			break
		}
	}
	return body, header, err
}

// tries is how often a service that throttles is asked.
const tries = 3

func (s *Service) once(ctx context.Context, url string) ([]byte, http.Header, error) {
	if s.Throttle != nil {
		done, err := s.Throttle.Wait(ctx)
		if err != nil {
			return nil, nil, err
		}
		defer done()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return nil, nil, err
	}
	resp, err := s.Client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotFound, http.StatusGone:
		return nil, nil, fmt.Errorf("%s: %s: %w", url, resp.Status, collateral.ErrNotFound)
	case http.StatusTooManyRequests, http.StatusServiceUnavailable:
		if s.Throttle != nil {
			s.Throttle.Hold(ctx, retryAfter(resp.Header))
		}
		return nil, nil, fmt.Errorf("%s: %s: %w", url, resp.Status, ErrBusy)
	default:
		return nil, nil, fmt.Errorf("%s: %s", url, resp.Status)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil {
		return nil, nil, fmt.Errorf("%s: %w", url, err)
	}
	if len(body) > maxBody {
		return nil, nil, fmt.Errorf("%s: the answer has more than %d bytes", url, maxBody)
	}
	return body, resp.Header, nil
}

// Bounds of how long a service may ask for patience.
const (
	defaultHold = 10 * time.Second
	maxHold     = 10 * time.Minute
)

// retryAfter reads the header of that name, given in seconds.
func retryAfter(h http.Header) time.Duration {
	n, err := strconv.Atoi(h.Get("Retry-After"))
	if err != nil || n < 0 {
		return defaultHold
	}
	// Before the product: a large number would overflow to a negative one.
	return time.Duration(min(n, int(maxHold/time.Second))) * time.Second
}
