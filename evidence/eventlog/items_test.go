package eventlog

import (
	"testing"
)

// TestItemsOfOneTagAreFound: with few tags and with many.
func TestItemsOfOneTagAreFound(t *testing.T) {
	for _, tags := range []int{1, 7, 8, 9, 20, 3000} {
		var list []Item
		for round := range 3 {
			for tag := range tags {
				list = append(list, Item{Tag: uint32(tags - tag), Data: []byte{byte(round)}})
			}
		}
		first, next := sameTags(list)
		for i := range list {
			if first[i] != (i < tags) {
				t.Fatalf("%d tags: item %d is the first one: %v", tags, i, first[i])
			}
			want := int32(i + tags)
			if int(want) >= len(list) {
				want = -1
			}
			if next[i] != want {
				t.Fatalf("%d tags: item %d is followed by %d, want %d", tags, i, next[i], want)
			}
		}
	}
}
