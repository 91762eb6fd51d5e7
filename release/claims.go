package release

import (
	"errors"
	"fmt"
	"strings"
)

// Bounds of claims.
const (
	// MaxClaimsSize bounds the text of claims, in bytes: as much as a token may have.
	MaxClaimsSize = 1 << 20
	// maxClaimValues bounds the values in it, members of objects and arrays included, and
	// maxClaimDepth how deeply they are nested.
	maxClaimValues, maxClaimDepth = 1 << 15, 64
)

// ErrClaims says that claims cannot be read.
var ErrClaims = errors.New("the claims of the token are malformed")

// Claims are the claims of a verified token. The zero Claims are empty. They are not changed after
// ParseClaims; many goroutines may use them.
type Claims struct{ top *node }

// ParseClaims reads claims: the payload of a token that was verified, for instance
// token.Verified.Payload. It is one JSON object, of which no object may have a member twice:
// readers would differ in which one they take. The error wraps [ErrClaims].
func ParseClaims(payload []byte) (Claims, error) {
	if len(payload) > MaxClaimsSize {
		return Claims{}, fmt.Errorf("release: %w: %d bytes, at most %d are read", ErrClaims, len(payload),
			MaxClaimsSize)
	}
	top, err := readTree(payload, maxClaimDepth, maxClaimValues, func(name string, _, second int) error {
		return &placedError{second, "the member " + quoted(name) + " occurs twice"}
	})
	if err != nil {
		return Claims{}, fmt.Errorf("release: %w: %w", ErrClaims, err)
	}
	if top.kind != '{' {
		return Claims{}, fmt.Errorf("release: %w: expected an object, found %s", ErrClaims, kindName(top.kind))
	}
	return Claims{top}, nil
}

// find returns the claim of a path, or nil. In each object the whole rest of the path is tried as
// one name first, since names may have dots; then it is split at its first dot. A claim that is null is
// missing.
func (c Claims) find(path string) *node {
	at := c.top
	for at != nil && at.kind == '{' {
		if n := at.member(path); n != nil {
			if n.kind == 'n' {
				return nil
			}
			return n
		}
		first, rest, more := strings.Cut(path, ".")
		if !more {
			return nil
		}
		at, path = at.member(first), rest
	}
	return nil
}

// maxElsewhere bounds how many objects are searched for a claim that is missing.
const maxElsewhere = 256

// elsewhere returns the path at which the token has the last name of a missing path, or "". The same
// claim is at the top for one kind of guest, and below x-ms-isolation-tee for another.
func (c Claims) elsewhere(path string) string {
	name := path[strings.LastIndexByte(path, '.')+1:]
	type place struct {
		prefix string
		n      *node
	}
	queue := []place{{"", c.top}}
	for i := 0; i < len(queue) && i < maxElsewhere; i++ {
		p := queue[i]
		if p.n == nil || p.n.kind != '{' {
			continue
		}
		if found := p.n.member(name); found != nil && found.kind != 'n' && p.prefix+name != path {
			return p.prefix + name
		}
		for _, m := range p.n.members {
			if m.value.kind == '{' && len(queue) < maxElsewhere {
				queue = append(queue, place{p.prefix + m.name + ".", m.value})
			}
		}
	}
	return ""
}

// String gives a claim for people, cut to size.
func (n *node) String() string {
	switch n.kind {
	case '{':
		return fmt.Sprintf("an object with %d members", len(n.members))
	case '[':
		var b strings.Builder
		b.WriteByte('[')
		for i, item := range n.items {
			if i > 0 {
				b.WriteString(", ")
			}
			if b.Len() > shown {
				fmt.Fprintf(&b, "… %d in all", len(n.items))
				break
			}
			if item.kind == '[' {
				b.WriteString("an array")
			} else {
				b.WriteString(item.String())
			}
		}
		return b.String() + "]"
	default:
		return n.scalar.String()
	}
}
