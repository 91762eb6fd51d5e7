package data

import (
	"maps"
	"net/http"
	"slices"
	"strconv"

	"github.com/probity-dev/probity/appraisal"
	"github.com/probity-dev/probity/collateral"
	"github.com/probity-dev/probity/evidence"
	"github.com/probity-dev/probity/internal/api/edge"
	"github.com/probity-dev/probity/internal/provider"
	"github.com/probity-dev/probity/token"
)

// Discovery answers GET /.well-known/openid-configuration.
func (p *Plane) Discovery(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	signers, err := c.Provider.Signers(p.Now())
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, token.NewDiscovery(c.Provider.URL, signers.Sign.Algorithm()))
}

// KeySet answers GET /certs.
func (p *Plane) KeySet(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	signers, err := c.Provider.Signers(p.Now())
	if err != nil {
		return err
	}
	return edge.WriteJSON(w, token.Keys(signers.Published...))
}

// baseline is one row of GET /tcbbaselines/{type}.
type baseline struct {
	Identifier        string `json:"tcbIdentifier"`
	EvaluationNumber  uint32 `json:"tcbEvaluationDataNumber"`
	ReleaseDate       string `json:"tcbReleaseDate"`
	MinimumPSWLinux   string `json:"minimumPswLinuxVersion"`
	MinimumPSWWindows string `json:"minimumPswWindowsVersion"`
	Selected          bool   `json:"isSelectedTcb"`
}

// published are the release dates and the platform software that Microsoft
// names for early baselines.
var published = map[uint32]baseline{
	10: {ReleaseDate: "2020-11-10", MinimumPSWLinux: "2.9", MinimumPSWWindows: "2.7.101.2"},
	11: {ReleaseDate: "2021-06-08", MinimumPSWLinux: "2.13.3"},
	12: {ReleaseDate: "2021-11-10", MinimumPSWLinux: "2.13.3"},
	13: {ReleaseDate: "2022-08-09", MinimumPSWLinux: "2.17"},
	14: {ReleaseDate: "2022-11-08", MinimumPSWLinux: "2.17"},
	15: {ReleaseDate: "2023-02-14", MinimumPSWLinux: "2.17"},
}

// TCBBaselines answers GET /tcbbaselines/{type}: the TCB baselines that a policy
// may name, newest first, from the collateral that is available.
func (p *Plane) TCBBaselines(w http.ResponseWriter, _ *http.Request, c *edge.Call) error {
	kind := c.Kind
	tee := collateral.SGX
	switch kind {
	case evidence.SGXEnclave, evidence.OpenEnclave:
	case evidence.TDXVM:
		tee = collateral.TDX
	default:
		return edge.BadRequest(edge.CheckType, "a type with TCB baselines: SgxEnclave, OpenEnclave, TdxVm",
			string(kind), "ask for one of these types")
	}
	numbers := map[uint32]bool{}
	for _, about := range p.Baselines() {
		if about.TEE == tee {
			numbers[about.EvaluationNumber] = true
		}
	}
	list := []baseline{}
	for _, n := range slices.Backward(slices.Sorted(maps.Keys(numbers))) {
		row := published[n]
		row.Identifier, row.EvaluationNumber, row.Selected = strconv.FormatUint(uint64(n), 10), n,
			selected(c.Provider.Policy(kind), n, len(list) == 0)
		list = append(list, row)
	}
	return edge.WriteJSON(w, map[string][]baseline{"tcbBaselines": list})
}

// selected reports whether the policy in force pins this number, or, pinning
// none, whether the number is the newest.
func selected(in *provider.PolicyInForce, number uint32, newest bool) bool {
	if p := in.Policy; p != nil {
		if settings, err := p.Settings(); err == nil {
			if pinned, refused := appraisal.TCBBaseline(settings); refused != nil || pinned != 0 {
				return pinned == number
			}
		}
	}
	return newest
}
