package oracle

import (
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-attestation/attest"

	"github.com/probity-dev/probity/evidence/eventlog"
	"github.com/probity-dev/probity/evidence/evidencetest"
)

// databases is what either reader says about the databases of secure boot.
type databases struct {
	enabled         bool
	db, dbx, dbKeys int
	// others are signatures of types that are not known, which ours counts and the
	// oracle refuses.
	others int
}

// ours reads the databases that a log proves; ok is false where they cannot be read.
func ours(t *testing.T, log []byte, bank eventlog.Bank) (d databases, ok bool) {
	t.Helper()
	p, err := eventlog.Prove([]eventlog.Sent{{Data: log}}, bank)
	if err != nil {
		t.Fatal(err)
	}
	f, err := p.Facts()
	if err != nil || f.DB == nil || f.DBX == nil || f.PK == nil || f.KEK == nil {
		return d, false
	}
	for _, der := range f.DB.Certificates {
		if _, err := x509.ParseCertificate(der); err != nil {
			return d, false
		}
	}
	return databases{
		f.SecureBoot, len(f.DB.Hashes), len(f.DBX.Hashes), len(f.DB.Certificates),
		f.DB.Others + f.DBX.Others,
	}, true
}

// theirs reads them with go-attestation, whose reader counted vendors' bytes as hashes
// before version 0.6.0 (GHSA-9r4w-jg96-92mv).
func theirs(log []byte, bank eventlog.Bank) (d databases, ok bool) {
	l, err := attest.ParseEventLog(log)
	if err != nil {
		return d, false
	}
	var pcrs []attest.PCR
	for i, value := range bank.Values {
		if value != nil {
			pcrs = append(pcrs, attest.PCR{Index: i, Digest: value, DigestAlg: crypto.SHA256})
		}
	}
	events, err := l.Verify(pcrs)
	if err != nil {
		return d, false
	}
	s, err := attest.ParseSecurebootState(events)
	if err != nil {
		return d, false
	}
	return databases{s.Enabled, len(s.PermittedHashes), len(s.ForbiddenHashes), len(s.PermittedKeys), 0}, true
}

func bankOf(boot *evidencetest.Boot) eventlog.Bank {
	bank := eventlog.Bank{Algorithm: eventlog.SHA256}
	for i := range 16 {
		bank.Values[i] = boot.PCRs[i][:]
	}
	return bank
}

// TestAlteredSignatureLists (secure boot off: the oracle wants a genuine signer
// otherwise) alters the signature databases of a boot, whose log and
// registers agree: what both readers take, they must read alike, and what ours takes,
// the oracle must take.
func TestAlteredSignatureLists(t *testing.T) {
	hash := func(b byte) []byte { sum := sha256.Sum256([]byte{b}); return sum[:] }
	random := rand.New(rand.NewPCG(7, 7))
	both, onlyOurs, onlyTheirs := 0, 0, 0
	for range inputs(t) {
		db := evidencetest.SignatureList(hash(1), hash(2))
		dbx := evidencetest.SignatureList(hash(3), hash(4), hash(5))
		for _, list := range [][]byte{db, dbx} {
			for range random.IntN(4) {
				// The headers decide; their small numbers are altered most.
				at := random.IntN(len(list)/76)*76 + 16 + random.IntN(12)
				list[at] = byte(random.IntN(2) * random.IntN(256))
			}
			if random.IntN(4) == 0 {
				list[random.IntN(len(list))] ^= byte(1 << random.IntN(8))
			}
		}
		boot := evidencetest.HealthyBoot(evidencetest.BootConfig{DB: db, DBX: dbx, SecureBootOff: true})
		a, oursOK := ours(t, boot.Log, bankOf(boot))
		b, theirsOK := theirs(boot.Log, bankOf(boot))
		switch {
		case oursOK && theirsOK:
			if both++; a != b {
				t.Fatalf("ours %+v, theirs %+v: db %x dbx %x", a, b, db, dbx)
			}
		case oursOK:
			if onlyOurs++; a.others == 0 {
				t.Fatalf("the oracle refuses what ours reads as %+v: db %x dbx %x", a, db, dbx)
			}
		case theirsOK:
			onlyTheirs++
		}
	}
	t.Logf("%d read alike by both, %d by ours alone (of unknown types), %d by the oracle alone", both,
		onlyOurs, onlyTheirs)
	if both < 10 {
		t.Error("too few lists were read by both to say anything")
	}
}

// TestRecordedLogs reads the logs of real machines that ship with go-eventlog: secure
// boot as go-attestation sees it.
func TestRecordedLogs(t *testing.T) {
	out, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/google/go-eventlog").Output()
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(strings.TrimSpace(string(out)), "testdata", "eventlogs",
		"tpm", "*.bin"))
	if err != nil || len(files) < 5 {
		t.Fatalf("%d logs, %v", len(files), err)
	}
	compared := 0
	for _, file := range files {
		log, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		l, err := eventlog.Parse(log)
		if err != nil {
			t.Errorf("%s: %v", filepath.Base(file), err)
			continue
		}
		r, err := l.Replay(eventlog.SHA256)
		if err != nil {
			t.Fatal(err)
		}
		bank := eventlog.Bank{Algorithm: eventlog.SHA256}
		for i := range uint32(eventlog.Registers) {
			if value, _, ok := r.Register(i); ok {
				bank.Values[i] = value
			}
		}
		if bank.Values[7] == nil {
			continue // SHA-1 alone
		}
		a, oursOK := ours(t, log, bank)
		b, theirsOK := theirs(log, bank)
		t.Logf("%s: ours %+v %v, theirs %+v %v", filepath.Base(file), a, oursOK, b, theirsOK)
		if oursOK && theirsOK {
			if compared++; a != b {
				t.Errorf("%s: ours %+v, theirs %+v", filepath.Base(file), a, b)
			}
		}
	}
	if compared < 3 {
		t.Errorf("only %d logs were read by both", compared)
	}
}
