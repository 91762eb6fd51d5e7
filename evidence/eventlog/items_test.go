package eventlog

import (
	"testing"
)

// TestTagsAreGroupedInTheOrderOfTheirFirstItems holds for few tags and for many.
func TestTagsAreGroupedInTheOrderOfTheirFirstItems(t *testing.T) {
	for _, tags := range []int{1, 7, 8, 9, 20, 3000} {
		var list []Item
		for round := range 3 {
			for tag := range tags {
				list = append(list, Item{Tag: uint32(tags - tag), Data: []byte{byte(round)}})
			}
		}
		groups := grouped(list)
		if len(groups) != tags {
			t.Fatalf("%d groups of %d tags", len(groups), tags)
		}
		for i, group := range groups {
			if len(group) != 3 {
				t.Fatalf("%d items of the tag at %d, want 3", len(group), i)
			}
			for round, item := range group {
				if item.Tag != uint32(tags-i) || item.Data[0] != byte(round) {
					t.Fatalf("item %d of the group at %d is %#x %d", round, i, item.Tag, item.Data[0])
				}
			}
		}
	}
}
