package luks

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/probity-dev/probity/evidence"
)

func TestARecordedHeaderIsAccepted(t *testing.T) {
	d, checks, err := Inspect(device(recorded(t)), deviceSize, expected())
	if err != nil {
		t.Fatal(err)
	}
	if d.UUID != "5b1f6f0e-0c61-4d6f-8f4a-4f3f7d5e9a01" || d.Label != "data" || d.Cipher != DefaultCipher ||
		d.DataOffset != 16<<20 || !slices.Equal(d.Slots, []int{0, 1}) || len(d.Digest) != 32 {
		t.Errorf("%+v", d)
	}
	if d.Enrolled == nil || d.Enrolled.Slot != 1 || d.Enrolled.Binding != binding() {
		t.Errorf("enrolled %+v", d.Enrolled)
	}
	made := map[string]bool{}
	for _, c := range checks {
		if !c.OK || c.Expected == "" || c.Found == "" {
			t.Errorf("%+v", c)
		}
		made[c.ID] = true
	}
	for _, d := range Catalogue() {
		if !made[d.ID] {
			t.Errorf("%s was not made", d.ID)
		}
	}
}

func TestTheCopyHasTheCheckedHeadersAndTheAreasOfKeySlots(t *testing.T) {
	disk := make(device, deviceSize)
	for n := range disk {
		disk[n] = byte(n)
	}
	copy(disk, recorded(t))
	d, _, err := Inspect(disk, deviceSize, expected())
	if err != nil {
		t.Fatal(err)
	}
	clear(disk[:32<<10]) // the host changes its mind
	out := make(memory, d.HeaderSize())
	if err := d.CopyTo(out, disk); err != nil {
		t.Fatal(err)
	}
	if _, _, err := Inspect(device(out), deviceSize, expected()); err != nil {
		t.Error(err)
	}
	if !bytes.Equal(out[32768:32768+2*258048], disk[32768:32768+2*258048]) ||
		!allZero(out[32768+2*258048:]) || len(out) != 16<<20 {
		t.Error("the copy has other key slots")
	}
}

// memory is a file in memory.
type memory []byte

func (m memory) WriteAt(p []byte, at int64) (int, error) { return copy(m[at:], p), nil }

// mutations are changed headers with right checksums, each with the check that refuses it. That a bad cipher is
// refused by a check and not by a checksum is the point.
var mutations = map[string]struct {
	change func(testing.TB, []byte) []byte
	want   *evidence.Definition
}{
	"another mark":              {both(func(h []byte) { h[0] = 'X' }), CheckMagic},
	"version 1":                 {both(func(h []byte) { h[7] = 1 }), CheckVersion},
	"version 3":                 {both(func(h []byte) { h[7] = 3 }), CheckVersion},
	"a header of 4 KiB":         {size(4096), CheckHeaderSize},
	"a header of 24 KiB":        {size(24 << 10), CheckHeaderSize},
	"a header of 8 MiB":         {size(8 << 20), CheckHeaderSize},
	"a header of 2^63 bytes":    {size(1 << 63), CheckHeaderSize},
	"a header at another place": {both(func(h []byte) { h[atOffset+6] ^= 0x10 }), CheckOffset},
	"SHA-1 as the checksum":     {both(func(h []byte) { copy(h[atAlgorithm:], "sha1\x00\x00") }), CheckAlgorithm},
	"bytes after the algorithm": {both(func(h []byte) { h[atSalt-1] = 1 }), CheckAlgorithm},
	"a wrong checksum": {func(_ testing.TB, h []byte) []byte {
		h[atSequence] ^= 1
		return h
	}, CheckChecksum},
	"bytes after the checksum": {func(_ testing.TB, h []byte) []byte {
		h[atPadding4096-1] = 1
		return h
	}, CheckChecksum},
	"a label without an end": {both(func(h []byte) {
		copy(h[atLabel:], strings.Repeat("x", atAlgorithm-atLabel))
	}), CheckFields},
	"bytes after the label":        {both(func(h []byte) { h[atAlgorithm-1] = 'x' }), CheckFields},
	"no UUID":                      {both(func(h []byte) { clear(h[atUUID:atSubsystem]) }), CheckFields},
	"a UUID with a path":           {both(func(h []byte) { copy(h[atUUID:], "../../") }), CheckFields},
	"reserved bytes in use":        {both(func(h []byte) { h[atPadding] = 1 }), CheckFields},
	"more reserved bytes in use":   {both(func(h []byte) { h[binarySize-1] = 1 }), CheckFields},
	"no secondary header":          {second(func(h []byte) { clear(h) }), CheckSecondary},
	"a primary one as the second":  {second(func(h []byte) { copy(h, magicPrimary) }), CheckSecondary},
	"a secondary one of version 1": {second(func(h []byte) { h[7] = 1 }), CheckSecondary},
	"a secondary one of another size": {second(func(h []byte) {
		binary.BigEndian.PutUint64(h[atSize:], 32<<10)
	}), CheckSecondary},
	"a secondary one at another place":  {second(func(h []byte) { clear(h[atOffset:atPadding]) }), CheckOffset},
	"a secondary one of another age":    {second(func(h []byte) { h[atSequence+7]++ }), CheckSecondary},
	"a secondary one of another label":  {second(func(h []byte) { h[atLabel] = 'D' }), CheckSecondary},
	"a secondary one of another UUID":   {second(func(h []byte) { h[atUUID] = '6' }), CheckSecondary},
	"a secondary one of another kind":   {second(func(h []byte) { h[atSubsystem] = 'x' }), CheckSecondary},
	"a secondary one with a bad cipher": {secondMeta("aes-xts-plain64", "cipher_null-ecb"), CheckSecondary},
	"a secondary one with a wrong checksum": {func(_ testing.TB, h []byte) []byte {
		h[len(h)/2+atSalt]++
		return h
	}, CheckChecksum},

	"no metadata":               {func(_ testing.TB, h []byte) []byte { return withText(h, "") }, CheckMetadata},
	"metadata that are no JSON": {func(_ testing.TB, h []byte) []byte { return withText(h, "x") }, CheckMetadata},
	"bytes after the metadata":  {both(func(h []byte) { h[len(h)-1] = '}' }), CheckMetadata},
	"metadata without an end": {func(_ testing.TB, h []byte) []byte {
		return withText(h, strings.Repeat(" ", maxHeader))
	}, CheckMetadata},
	"metadata nested without end": {func(_ testing.TB, h []byte) []byte {
		return withText(h, strings.Repeat(`[`, 10_000))
	}, CheckMetadata},
	"a member twice": {written(`"config"`, `"segments":{},"config"`), CheckMetadata},
	"the cipher twice": {written(`"encryption":"aes-xts-plain64","iv_tweak"`,
		`"encryption":"aes-xts-plain64","encryption":"cipher_null-ecb","iv_tweak"`), CheckMetadata},
	"an unknown member":             {set("", "backup", object{}), CheckMetadata},
	"no key slots":                  {set("", "keyslots", nil), CheckMetadata},
	"a key slot without a number":   {meta(func(m object) { at(m, "keyslots")["x"] = object{} }), CheckMetadata},
	"a key slot 00":                 {meta(func(m object) { at(m, "keyslots")["00"] = object{} }), CheckMetadata},
	"a key slot 32":                 {meta(func(m object) { at(m, "keyslots")["32"] = object{} }), CheckMetadata},
	"an unknown member of a slot":   {set("keyslots.0", "mode", "x"), CheckMetadata},
	"an unknown member of the KDF":  {set("keyslots.0.kdf", "pepper", "x"), CheckMetadata},
	"an offset with a sign":         {set("segments.0", "offset", "+16777216"), CheckMetadata},
	"an offset beyond 64 bits":      {set("segments.0", "offset", "99999999999999999999"), CheckMetadata},
	"an offset as a number":         {set("segments.0", "offset", 16777216), CheckMetadata},
	"an offset with a leading zero": {set("segments.0", "offset", "016777216"), CheckMetadata},

	"another size of the metadata": {set("config", "json_size", "16384"), CheckConfig},
	"key slots without room":       {set("config", "keyslots_size", "0"), CheckConfig},
	"key slots of half a block":    {set("config", "keyslots_size", "16744449"), CheckConfig},
	"key slots beyond the device":  {set("config", "keyslots_size", "33554432"), CheckConfig},
	"key slots of 1 GiB":           {set("config", "keyslots_size", "1073741824"), CheckConfig},
	"a flag of integrity":          {set("config", "flags", []string{"no-journal"}), CheckFlags},
	"an unknown flag":              {set("config", "flags", []string{"allow-discards", "x"}), CheckFlags},
	"a reencryption to be gone on": {requires("online-reencrypt-v2"), CheckRequirements},
	"an older reencryption":        {requires("online-reencrypt"), CheckRequirements},
	"an offline reencryption":      {requires("offline-reencrypt"), CheckRequirements},
	"a requirement of hardware":    {requires("opal"), CheckRequirements},
	"requirements that are empty":  {set("config", "requirements", object{}), CheckRequirements},

	"no segment": {set("", "segments", object{}), CheckSegments},
	"another segment in plain text": {meta(func(m object) {
		at(m, "segments")["1"] = object{"type": "linear", "offset": "16781312", "size": "dynamic"}
	}), CheckSegments},
	"a segment with another number": {meta(func(m object) {
		s := at(m, "segments")
		s["1"], s["0"] = s["0"], nil
		delete(s, "0")
	}), CheckSegments},
	"a segment in plain text": {set("segments", "0", object{
		"type": "linear", "offset": "16777216", "size": "dynamic",
	}), CheckSegmentType},
	"a segment without a type":       {set("segments.0", "type", nil), CheckSegmentType},
	"a segment that is null":         {written(`"segments":{"0":{`, `"segments":{"0":null,"9":{`), CheckMetadata},
	"integrity that is null":         {written(`"iv_tweak"`, `"integrity":null,"iv_tweak"`), CheckMetadata},
	"a remainder of a reencryption":  {set("segments.0", "flags", []string{"backup-previous"}), CheckSegmentType},
	"a segment during reencryption":  {set("segments.0", "flags", []string{"in-reencryption"}), CheckSegmentType},
	"a null cipher":                  {set("segments.0", "encryption", "cipher_null-ecb"), CheckCipher},
	"a null cipher without a mode":   {set("segments.0", "encryption", "cipher_null"), CheckCipher},
	"a null cipher by another name":  {set("segments.0", "encryption", "capi:ecb(cipher_null)"), CheckCipher},
	"no cipher":                      {set("segments.0", "encryption", nil), CheckCipher},
	"a cipher that shows patterns":   {set("segments.0", "encryption", "aes-ecb"), CheckCipher},
	"a cipher that repeats at 2 TiB": {set("segments.0", "encryption", "aes-xts-plain"), CheckCipher},
	"a cipher with a zero byte":      {set("segments.0", "encryption", "aes-xts-plain64\x00"), CheckCipher},
	"integrity that was not chosen":  {set("segments.0", "integrity", macs("hmac(sha256)")), CheckIntegrity},
	"integrity without a type":       {set("segments.0", "integrity", macs("")), CheckIntegrity},
	"sectors of 256 bytes":           {set("segments.0", "sector_size", 256), CheckSector},
	"sectors of 8 KiB":               {set("segments.0", "sector_size", 8192), CheckSector},
	"sectors of no size":             {set("segments.0", "sector_size", nil), CheckSector},
	"sectors counted from elsewhere": {set("segments.0", "iv_tweak", "8"), CheckSector},
	"data in the key slots":          {set("segments.0", "offset", "32768"), CheckSegmentArea},
	"data in the header":             {set("segments.0", "offset", "0"), CheckSegmentArea},
	"data across sectors":            {set("segments.0", "offset", "16777217"), CheckSegmentArea},
	"data beyond the device":         {set("segments.0", "offset", "20971520"), CheckSegmentArea},
	"data that are too long":         {set("segments.0", "size", "4198400"), CheckSegmentArea},
	"data of no length":              {set("segments.0", "size", "0"), CheckSegmentArea},
	"data of half a sector":          {set("segments.0", "size", "1000"), CheckSegmentArea},

	"a token of another program": {set("tokens", "1", object{
		"type": "systemd-tpm2", "keyslots": []string{"0"},
	}), CheckTokens},
	"a token that reads a keyring": {set("tokens", "1", object{
		"type": "luks2-keyring", "keyslots": []string{"0"}, "key_description": "x",
	}), CheckTokens},
	"a token without a type":           {set("tokens", "1", object{"keyslots": []string{"0"}}), CheckTokens},
	"a token that is no object":        {set("tokens", "1", "x"), CheckTokens},
	"an enrolment for no slot":         {set("tokens.0", "keyslots", []string{}), CheckTokens},
	"an enrolment for two slots":       {set("tokens.0", "keyslots", []string{"0", "1"}), CheckTokens},
	"an enrolment for an absent slot":  {set("tokens.0", "keyslots", []string{"7"}), CheckTokens},
	"an enrolment without a key":       {set("tokens.0", "key", nil), CheckTokens},
	"an enrolment with more in it":     {set("tokens.0", "ca", "x"), CheckMetadata},
	"an enrolment at another service":  {set("tokens.0", "url", "https://attest.example.com"), CheckBinding},
	"an enrolment with another key":    {set("tokens.0", "key", "disk-web-2"), CheckBinding},
	"an enrolment at another provider": {set("tokens.0", "provider", "other"), CheckBinding},
	"an enrolment by other evidence":   {set("tokens.0", "kind", "Tpm"), CheckBinding},
	"no enrolment":                     {set("", "tokens", object{}), CheckBinding},
	"the same enrolment twice": {meta(func(m object) {
		second := object{"url": binding().URL, "key": binding().Key, "type": "probity", "keyslots": []string{"0"}}
		at(m, "tokens")["5"] = second
	}), CheckBinding},

	"no key slot at all": {meta(func(m object) {
		m["keyslots"], m["tokens"] = object{}, object{}
	}), CheckBinding},
	"a key slot that was not made here": {meta(func(m object) {
		s := at(m, "keyslots")
		s["2"] = s["0"]
	}), CheckSlots},
	"the enrolled slot under another number": {meta(func(m object) {
		s := at(m, "keyslots")
		s["3"] = s["1"]
		at(m, "tokens.0")["keyslots"] = []string{"3"}
	}), CheckSlots},
	"a key slot of a reencryption": {meta(func(m object) {
		at(m, "keyslots")["0"] = object{"type": "reencrypt", "mode": "decrypt", "direction": "forward"}
	}), CheckSlotType},
	"a key slot of priority 3":   {set("keyslots.0", "priority", 3), CheckSlotType},
	"a key of 1 byte":            {set("keyslots.0", "key_size", 1), CheckKeySize},
	"a key of no bytes":          {set("keyslots.0", "key_size", 0), CheckKeySize},
	"a key of a negative length": {set("keyslots.0", "key_size", -64), CheckKeySize},
	"a key of 48 bytes": {meta(func(m object) {
		at(m, "keyslots.0")["key_size"], at(m, "keyslots.1")["key_size"] = 48, 48
	}), CheckKeySize},
	"keys of two lengths":                {set("keyslots.1", "key_size", 32), CheckKeySize},
	"a key slot that is not encrypted":   {set("keyslots.1.area", "encryption", "cipher_null-ecb"), CheckSlotCipher},
	"a recovery slot without encryption": {set("keyslots.0.area", "encryption", "cipher_null"), CheckSlotCipher},
	"a key slot of another cipher":       {set("keyslots.1.area", "encryption", "aes-ecb"), CheckSlotCipher},
	"a key slot with a short key":        {set("keyslots.1.area", "key_size", 1), CheckSlotCipher},
	"a recovery slot of PBKDF2, cheap": {set("keyslots.0", "kdf", object{
		"type": "pbkdf2", "hash": "sha256", "iterations": 1000, "salt": salt,
	}), CheckKDF},
	"a recovery slot without memory":  {set("keyslots.0.kdf", "memory", 32), CheckKDF},
	"a recovery slot without time":    {set("keyslots.0.kdf", "time", 1), CheckKDF},
	"a derivation of 16 GiB":          {set("keyslots.0.kdf", "memory", 16<<20), CheckKDF},
	"a derivation without end":        {set("keyslots.0.kdf", "time", 1<<31), CheckKDF},
	"a derivation with many threads":  {set("keyslots.0.kdf", "cpus", 1<<20), CheckKDF},
	"a derivation with no thread":     {set("keyslots.0.kdf", "cpus", 0), CheckKDF},
	"an enrolled slot of 1 iteration": {set("keyslots.1.kdf", "iterations", 1), CheckKDF},
	"iterations without end":          {set("keyslots.1.kdf", "iterations", 1<<40), CheckKDF},
	"a derivation with MD5":           {set("keyslots.1.kdf", "hash", "md5"), CheckKDF},
	"a derivation of another kind":    {set("keyslots.1.kdf", "type", "argon2i"), CheckKDF},
	"no derivation":                   {set("keyslots.1", "kdf", nil), CheckKDF},
	"a derivation without salt":       {set("keyslots.1.kdf", "salt", ""), CheckKDF},
	"a derivation with a long salt":   {set("keyslots.1.kdf", "salt", strings.Repeat("AAAA", 100)), CheckKDF},
	"a salt that is no base64":        {set("keyslots.1.kdf", "salt", "§"), CheckMetadata},
	"a key in one stripe":             {set("keyslots.1.af", "stripes", 1), CheckSplit},
	"a key in stripes without end":    {set("keyslots.1.af", "stripes", 1<<30), CheckSplit},
	"stripes with SHA-1":              {set("keyslots.1.af", "hash", "sha1"), CheckSplit},
	"no stripes":                      {set("keyslots.1", "af", nil), CheckSplit},
	"a key slot in the header":        {set("keyslots.1.area", "offset", "4096"), CheckSlotArea},
	"a key slot among the data":       {set("keyslots.1.area", "offset", "16777216"), CheckSlotArea},
	"a key slot across the end":       {set("keyslots.1.area", "offset", "16773120"), CheckSlotArea},
	"a key slot between blocks":       {set("keyslots.1.area", "offset", "290817"), CheckSlotArea},
	"a key slot in another's area":    {set("keyslots.1.area", "offset", "286720"), CheckSlotArea},
	"a key slot at another's place":   {set("keyslots.1.area", "offset", "32768"), CheckSlotArea},
	"a key slot without room":         {set("keyslots.1.area", "size", "4096"), CheckSlotArea},
	"a key slot of another kind":      {set("keyslots.1.area", "type", "datashift"), CheckSlotArea},

	"no digest":                     {set("", "digests", object{}), CheckDigest},
	"another digest":                {meta(func(m object) { at(m, "digests")["1"] = at(m, "digests")["0"] }), CheckDigest},
	"a digest of another kind":      {set("digests.0", "type", "none"), CheckDigest},
	"a digest with SHA-1":           {set("digests.0", "hash", "sha1"), CheckDigest},
	"a digest of 1 iteration":       {set("digests.0", "iterations", 1), CheckDigest},
	"a digest without end":          {set("digests.0", "iterations", 1<<40), CheckDigest},
	"a digest of one byte":          {set("digests.0", "digest", "AA=="), CheckDigest},
	"a digest without bytes":        {set("digests.0", "digest", ""), CheckDigest},
	"a digest without salt":         {set("digests.0", "salt", ""), CheckDigest},
	"a digest that covers nothing":  {set("digests.0", "segments", []string{}), CheckDigestCovers},
	"a digest of another segment":   {set("digests.0", "segments", []string{"1"}), CheckDigestCovers},
	"a digest without one key slot": {set("digests.0", "keyslots", []string{"1"}), CheckDigestCovers},
	"a digest with absent slots":    {set("digests.0", "keyslots", []string{"0", "1", "2"}), CheckDigestCovers},
	"a digest with a slot twice":    {set("digests.0", "keyslots", []string{"0", "1", "1"}), CheckDigestCovers},
}

const salt = "AAECAwQFBgcICQoLDA0ODwABAgMEBQYHCAkKCwwNDg8="

func size(n uint64) func(testing.TB, []byte) []byte {
	return both(func(h []byte) { binary.BigEndian.PutUint64(h[atSize:], n) })
}

func second(change func([]byte)) func(testing.TB, []byte) []byte {
	return func(_ testing.TB, headers []byte) []byte {
		change(headers[len(headers)/2:])
		return sealed(headers)
	}
}

func secondMeta(from, to string) func(testing.TB, []byte) []byte {
	return func(t testing.TB, headers []byte) []byte {
		changed := written(from, to)(t, headers)
		return append(bytes.Clone(headers[:len(headers)/2]), changed[len(headers)/2:]...)
	}
}

func requires(what string) func(testing.TB, []byte) []byte {
	return set("config", "requirements", object{"mandatory": []string{what}})
}

func macs(kind string) object {
	return object{"type": kind, "journal_encryption": "none", "journal_integrity": "none"}
}

func TestChangedHeadersAreRefusedByTheirCheckAlthoughTheChecksumsAreRight(t *testing.T) {
	canonical := edit(t, recorded(t), func(object) {})
	if _, _, err := Inspect(device(canonical), deviceSize, expected()); err != nil {
		t.Fatal(err)
	}
	refused := map[string]bool{}
	for name, m := range mutations {
		t.Run(name, func(t *testing.T) {
			d, checks, err := Inspect(device(m.change(t, bytes.Clone(canonical))), deviceSize, expected())
			if d != nil || !errors.Is(err, m.want) {
				t.Fatalf("%v, want %s", err, m.want.ID)
			}
			last := checks[len(checks)-1]
			if last.OK || last.ID != m.want.ID || last.Expected == "" || last.Found == "" || last.Remedy == "" {
				t.Errorf("%+v", last)
			}
			refused[m.want.ID] = true
		})
	}
	refused[CheckSize.ID] = true // in the next test
	for _, d := range Catalogue() {
		if !refused[d.ID] {
			t.Errorf("no header is refused by %s", d.ID)
		}
	}
}

func TestADeviceWithoutRoomIsRefused(t *testing.T) {
	for _, size := range []int64{-1, 0, 4096, 32767} {
		if _, _, err := Inspect(device(recorded(t)), size, expected()); !errors.Is(err, CheckSize) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	if _, _, err := Inspect(device(recorded(t)), 16<<20, expected()); !errors.Is(err, CheckSegmentArea) {
		t.Errorf("no room for data: %v", err)
	}
}

func TestWhatTheOperatorNamesIsAccepted(t *testing.T) {
	b, versioned := binding(), binding()
	versioned.Version = "0123"
	for name, tc := range map[string]struct {
		change func(testing.TB, []byte) []byte
		want   Expectation
		check  *evidence.Definition
	}{
		"another cipher": {set("segments.0", "encryption", "serpent-xts-plain64"),
			Expectation{Slots: []int{0}, Ciphers: []string{"serpent-xts-plain64"}, Binding: &b}, nil},
		"a null cipher all the same": {set("segments.0", "encryption", "cipher_null-ecb"),
			Expectation{Slots: []int{0}, Ciphers: []string{"cipher_null-ecb"}, Binding: &b}, CheckCipher},
		"integrity": {meta(func(m object) {
			at(m, "segments.0")["integrity"] = macs("hmac(sha256)")
			for _, s := range []string{"keyslots.0", "keyslots.1"} {
				at(m, s)["key_size"] = 96
				at(m, s+".area")["size"] = "385024"
			}
			at(m, "keyslots.1.area")["offset"] = "417792"
		}), Expectation{Slots: []int{0}, Integrity: "hmac(sha256)", Binding: &b}, nil},
		"integrity that is not there": {meta(func(object) {}),
			Expectation{Slots: []int{0}, Integrity: "hmac(sha256)", Binding: &b}, CheckIntegrity},
		"integrity of another kind": {set("segments.0", "integrity", macs("crc32c")),
			Expectation{Slots: []int{0}, Integrity: "hmac(sha256)", Binding: &b}, CheckIntegrity},
		"no slot": {meta(func(object) {}), Expectation{Binding: &b}, CheckSlots},
		"another type of tokens": {set("tokens", "1", object{
			"type": "clevis", "keyslots": []string{"0"}, "jwe": object{},
		}), Expectation{Slots: []int{0}, TokenTypes: []string{"clevis"}, Binding: &b}, nil},
		"another type of tokens for no slot": {set("tokens", "1", object{
			"type": "clevis", "keyslots": []string{"9"},
		}), Expectation{Slots: []int{0}, TokenTypes: []string{"clevis"}, Binding: &b}, CheckTokens},
		"no binding":           {meta(func(object) {}), Expectation{Slots: []int{0}}, nil},
		"no enrolment":         {set("", "tokens", object{}), Expectation{Slots: []int{0, 1}}, CheckKDF},
		"a version of the key": {set("tokens.0", "version", "0123"), expected(), nil},
		"that version of the key": {set("tokens.0", "version", "0123"),
			Expectation{Slots: []int{0}, Binding: &versioned}, nil},
		"another version of the key": {set("tokens.0", "version", "4567"),
			Expectation{Slots: []int{0}, Binding: &versioned}, CheckBinding},
		"a discard flag": {set("config", "flags", []string{"allow-discards"}), expected(), nil},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := Inspect(device(tc.change(t, recorded(t))), deviceSize, tc.want)
			if tc.check == nil && err != nil || tc.check != nil && !errors.Is(err, tc.check) {
				t.Error(err)
			}
		})
	}
}

func TestAnErrorOfTheDeviceIsNoRefusal(t *testing.T) {
	for _, short := range []int{0, 4096, 20000} {
		broken := io.NewSectionReader(bytes.NewReader(recorded(t)[:short]), 0, int64(short))
		_, _, err := Inspect(broken, deviceSize, expected())
		var refused *evidence.Rejection
		if err == nil || errors.As(err, &refused) {
			t.Errorf("%d bytes: %v", short, err)
		}
	}
}

func TestATokenSaysWhatItBinds(t *testing.T) {
	b := Binding{URL: "https://a.example", Provider: "p", Key: "k", Kind: "Tpm"}
	text, err := b.Token(3)
	if err != nil || string(text) != `{"type":"probity","keyslots":["3"],"url":"https://a.example",`+
		`"provider":"p","key":"k","kind":"Tpm"}` {
		t.Errorf("%s, %v", text, err)
	}
	if s := fmt.Sprint(b); s != "key k at https://a.example, provider p, as Tpm" {
		t.Error(s)
	}
}

func FuzzInspect(f *testing.F) {
	base := recorded(f)
	f.Add(base)
	for _, m := range mutations {
		f.Add(m.change(f, edit(f, base, func(object) {})))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		d, checks, err := Inspect(device(b), deviceSize, expected())
		if err == nil && (d.Cipher != DefaultCipher || d.Enrolled == nil || d.Enrolled.Binding != binding() ||
			d.HeaderSize() > deviceSize || d.DataOffset < d.HeaderSize()) {
			t.Errorf("%+v", d)
		}
		if err != nil && len(checks) > 0 && checks[len(checks)-1].OK {
			t.Errorf("refused without a failed check: %v", err)
		}
	})
}

// FuzzMetadata puts any text into the place of the metadata, with right checksums.
func FuzzMetadata(f *testing.F) {
	base := recorded(f)
	for _, m := range mutations {
		if b := m.change(f, edit(f, base, func(object) {})); len(b) == len(base) {
			s, _ := text(b[binarySize : len(b)/2])
			f.Add(s)
		}
	}
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) >= len(base)/2-binarySize {
			return
		}
		d, _, err := Inspect(device(withText(base, s)), deviceSize, expected())
		if err == nil && (d.Cipher != DefaultCipher || strings.Contains(s, "null")) {
			t.Errorf("%+v", d)
		}
	})
}
