package eventlog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Item is one of Windows's tagged events (SIPA, of the Windows Boot
// Configuration Log), with what it contains if its tag is that of an aggregation.
type Item struct {
	Tag   uint32
	Data  []byte
	Items []Item
}

// Bounds of tagged events: aggregations nest a few levels deep, and a boot loads
// some hundred modules with a dozen items each.
const (
	maxDepth = 8
	maxItems = 1 << 16

	tagUnmeasured  = 0x80000000
	tagAggregation = 0x40000000
	// lastTagGroup leaves room for groups after those of the table (C is the last).
	lastTagGroup = 0x1f
)

// ParseItems reads the data of a tagged event: a sequence of tag, length and
// payload, the payload of aggregations being such a sequence again. Zero padding after
// the last one is left out.
func ParseItems(b []byte) ([]Item, error) {
	left := maxItems
	return items(b, len(b)-len(bytes.TrimRight(b, "\x00")), maxDepth, &left)
}

// items reads items until at most padding bytes are left, which are known to be zero.
func items(b []byte, padding, depth int, left *int) ([]Item, error) {
	if depth == 0 {
		return nil, fmt.Errorf("tagged events nested deeper than %d", maxDepth)
	}
	list := make([]Item, 0, min(countItems(b[:len(b)-padding]), *left))
	for len(b) > padding {
		if len(b) < 8 {
			return nil, errors.New("a tagged event that is cut short")
		}
		item := Item{Tag: binary.LittleEndian.Uint32(b)}
		size := binary.LittleEndian.Uint32(b[4:])
		if uint64(size) > uint64(len(b)-8) {
			return nil, fmt.Errorf("a tagged event %#x of %d bytes in %d", item.Tag, size, len(b)-8)
		}
		if *left--; *left < 0 {
			return nil, fmt.Errorf("more than %d tagged events", maxItems)
		}
		item.Data, b = b[8:8+size], b[8+size:]
		if item.Tag&tagAggregation != 0 && item.Tag&tagUnmeasured == 0 {
			var err error
			if item.Items, err = items(item.Data, 0, depth-1, left); err != nil {
				return nil, err
			}
		}
		list = append(list, item)
	}
	return list, nil
}

// countItems returns how many items there are at most, without those within.
func countItems(b []byte) (n int) {
	for ; len(b) > 0 && n < maxItems; n++ {
		if len(b) < 8 {
			return n + 1
		}
		b = b[min(8+uint64(binary.LittleEndian.Uint32(b[4:])), uint64(len(b))):]
	}
	return n
}

// form says how policies read a tag's payload.
type form uint8

const (
	asRaw     form = iota // {"RawData": base64url}
	asBoolean             // true for 1
	asInteger             // a number
	asValue               // {"Value": number}
	asText                // UTF-16 text
	asNamed               // {"String": name, "Value": number}
	asParts               // an object of the items within
)

// worst says which value stays where one boundary has a tag several times.
type worst uint8

const (
	keepAll   worst = iota // an array of all
	keepFalse              // true is good: one false spoils it
	keepTrue               // true is bad
	keepLeast              // of numbers
)

type tagInfo struct {
	name  string
	form  form
	worst worst
	// list is always an array, as published policies read it.
	list bool
}

// The tags that facts are read from.
const (
	tagTrustBoundary    = 0x40010001
	tagELAM             = 0x40010002
	tagLoadedModule     = 0x40010003
	tagTransferControl  = 0x00020003
	tagBitLocker        = 0x00020005
	tagApplicationSVN   = 0x00020009
	tagBootDebugging    = 0x00040001
	tagBootRevocation   = 0x00040002
	tagKernelDebug      = 0x00050001
	tagCodeIntegrity    = 0x00050002
	tagTestSigning      = 0x00050003
	tagDEP              = 0x00050004
	tagSafeMode         = 0x00050005
	tagWinPE            = 0x00050006
	tagHypervisorDebug  = 0x0005000d
	tagSIPolicy         = 0x0005000f
	tagIDKInfo          = 0x00050020
	tagFlightSigning    = 0x00050021
	tagIDKSInfo         = 0x00050023
	tagFilePath         = 0x00070001
	tagImageValidated   = 0x0007000a
	tagModuleSVN        = 0x0007000b
	tagELAMKeyName      = 0x00090001
	tagVSMRequired      = 0x000a0001
	tagIOMMURequired    = 0x000a0003
	tagMandatory        = 0x000a0006
	tagHVCIPolicy       = 0x000a0007
	tagDRTMStateAuth    = 0x000c0001
	tagDRTMSMM          = 0x000c0002
	hvciEnabled         = "HypervisorEnforcedCodeIntegrityEnable"
	eventPrefix         = "EVENT_"
	wbclSeparator       = "WBCL"
	transferToLoader    = 1 // of TRANSFER_CONTROL: the boot manager started the loader of Windows
	transferToResume    = 2 // the application that resumes from hibernation
	pcrSecureBoot       = 7
	pcrGRUBCommands     = 8
	pcrFiles            = 9
	pcrIMA              = 10
	pcrUnifiedKernel    = 11
	pcrWindows          = 12
	pcrWindowsModules   = 13
	pcrWindowsAuthority = 14
	pcrDRTMLaunch       = 17
	pcrDRTM             = 19
	pcrDRTMDetails      = 20
)

// tags are the constants SIPAEVENT_* of the Windows SDK (wbcl.h) without their
// prefix, with the form in which published policies read them.
var tags = map[uint32]tagInfo{
	tagTrustBoundary: {name: "TRUSTBOUNDARY", form: asParts},
	tagELAM:          {name: "ELAM_AGGREGATION", form: asParts, list: true},
	tagLoadedModule:  {name: "LOADEDMODULE_AGGREGATION", form: asParts, list: true},
	0xc0010004:       {name: "TRUSTPOINT_AGGREGATION"}, 0x40010005: {name: "KSR_AGGREGATION", form: asParts},
	0x40010006: {name: "KSR_SIGNED_MEASUREMENT_AGGREGATION", form: asParts},
	0x00020001: {name: "INFORMATION"}, 0x00020002: {name: "BOOTCOUNTER", form: asInteger},
	tagTransferControl: {name: "TRANSFER_CONTROL", form: asValue},
	0x00020004:         {name: "APPLICATION_RETURN", form: asValue},
	tagBitLocker:       {name: "BITLOCKER_UNLOCK", form: asValue},
	0x00020006:         {name: "EVENTCOUNTER", form: asInteger},
	0x00020007:         {name: "COUNTERID", form: asInteger},
	0x00020008:         {name: "MORBIT_NOT_CANCELABLE", form: asBoolean},
	tagApplicationSVN:  {name: "APPLICATION_SVN", form: asInteger, worst: keepLeast},
	0x0002000a:         {name: "SVN_CHAIN_STATUS", form: asInteger},
	0x0002000b:         {name: "MORBIT_API_STATUS", form: asInteger},
	0x00030001:         {name: "FIRMWAREFAILURE"}, 0x00030002: {name: "TPMFAILURE"},
	0x00030003: {name: "INTERNALFAILURE"}, 0x00030004: {name: "KSRFAILURE"},
	tagBootDebugging:  {name: "BOOTDEBUGGING", form: asBoolean, worst: keepTrue},
	tagBootRevocation: {name: "BOOT_REVOCATION_LIST"},
	tagKernelDebug:    {name: "OSKERNELDEBUG", form: asBoolean, worst: keepTrue},
	tagCodeIntegrity:  {name: "CODEINTEGRITY", form: asBoolean, worst: keepFalse},
	tagTestSigning:    {name: "TESTSIGNING", form: asBoolean, worst: keepTrue},
	tagDEP:            {name: "DATAEXECUTIONPREVENTION", form: asValue},
	tagSafeMode:       {name: "SAFEMODE", form: asBoolean, worst: keepTrue},
	tagWinPE:          {name: "WINPE", form: asBoolean, worst: keepTrue},
	0x00050007:        {name: "PHYSICALADDRESSEXTENSION", form: asBoolean},
	0x00050008:        {name: "OSDEVICE", form: asValue}, 0x00050009: {name: "SYSTEMROOT", form: asText},
	0x0005000a: {name: "HYPERVISOR_LAUNCH_TYPE", form: asValue},
	0x0005000b: {name: "HYPERVISOR_PATH", form: asText},
	0x0005000c: {
		name: "HYPERVISOR_IOMMU_POLICY",
		form: asValue,
	}, tagHypervisorDebug: {name: "HYPERVISOR_DEBUG", form: asBoolean, worst: keepTrue},
	0x0005000e: {name: "DRIVER_LOAD_POLICY", form: asNamed}, tagSIPolicy: {name: "SI_POLICY", list: true},
	0x00050010: {name: "HYPERVISOR_MMIO_NX_POLICY", form: asValue},
	0x00050011: {name: "HYPERVISOR_MSR_FILTER_POLICY", form: asValue},
	0x00050012: {name: "VSM_LAUNCH_TYPE", form: asValue}, 0x00050013: {name: "OS_REVOCATION_LIST"},
	0x00050014:       {name: "SMT_STATUS", form: asValue},
	tagIDKInfo:       {name: "VSM_IDK_INFO"},
	tagFlightSigning: {name: "FLIGHTSIGNING", form: asBoolean, worst: keepTrue},
	0x00050022:       {name: "PAGEFILE_ENCRYPTION_ENABLED", form: asBoolean, worst: keepFalse},
	tagIDKSInfo:      {name: "VSM_IDKS_INFO"},
	0x00050024: {
		name:  "HIBERNATION_DISABLED",
		form:  asBoolean,
		worst: keepFalse,
	}, 0x00050025: {name: "DUMPS_DISABLED", form: asBoolean, worst: keepFalse},
	0x00050026: {name: "DUMP_ENCRYPTION_ENABLED", form: asBoolean, worst: keepFalse},
	0x00050027: {name: "DUMP_ENCRYPTION_KEY_DIGEST"},
	0x00050028: {name: "LSAISO_CONFIG", form: asValue}, 0x00050029: {name: "SBCP_INFO"},
	0x00050030:  {name: "HYPERVISOR_BOOT_DMA_PROTECTION", form: asBoolean, worst: keepFalse},
	0x00060001:  {name: "NOAUTHORITY", form: asBoolean, worst: keepTrue},
	0x00060002:  {name: "AUTHORITYPUBKEY", list: true},
	tagFilePath: {name: "FILEPATH", form: asText}, 0x00070002: {name: "IMAGESIZE", form: asInteger},
	0x00070003: {name: "HASHALGORITHMID", form: asInteger},
	0x00070004: {name: "AUTHENTICODEHASH"}, 0x00070005: {name: "AUTHORITYISSUER", form: asText},
	0x00070006: {name: "AUTHORITYSERIAL"},
	0x00070007: {name: "IMAGEBASE", form: asInteger}, 0x00070008: {name: "AUTHORITYPUBLISHER", form: asText},
	0x00070009: {name: "AUTHORITYSHA1THUMBPRINT"},
	tagImageValidated: {
		name:  "IMAGEVALIDATED",
		form:  asBoolean,
		worst: keepFalse,
	}, tagModuleSVN: {name: "MODULE_SVN", form: asInteger, worst: keepLeast},
	0x80080001: {name: "QUOTE"}, 0x80080002: {name: "QUOTESIGNATURE"}, 0x80080003: {name: "AIKID"},
	0x80080004:     {name: "AIKPUBDIGEST"},
	tagELAMKeyName: {name: "ELAM_KEYNAME", form: asText}, 0x00090002: {name: "ELAM_CONFIGURATION"},
	0x00090003: {name: "ELAM_POLICY"}, 0x00090004: {name: "ELAM_MEASURED"},
	tagVSMRequired:   {name: "VBS_VSM_REQUIRED", form: asBoolean, worst: keepFalse},
	0x000a0002:       {name: "VBS_SECUREBOOT_REQUIRED", form: asBoolean, worst: keepFalse},
	tagIOMMURequired: {name: "VBS_IOMMU_REQUIRED", form: asBoolean, worst: keepFalse},
	0x000a0004:       {name: "VBS_MMIO_NX_REQUIRED", form: asBoolean, worst: keepFalse},
	0x000a0005:       {name: "VBS_MSR_FILTERING_REQUIRED", form: asBoolean, worst: keepFalse},
	tagMandatory:     {name: "VBS_MANDATORY_ENFORCEMENT", form: asBoolean, worst: keepFalse},
	tagHVCIPolicy:    {name: "VBS_HVCI_POLICY", form: asNamed},
	0x000a0008:       {name: "VBS_MICROSOFT_BOOT_CHAIN_REQUIRED", form: asBoolean, worst: keepFalse},
	0x000a0009:       {name: "VBS_DUMP_USES_AMEROOT", form: asBoolean},
	0x000a000a:       {name: "VBS_VSM_NOSECRETS_ENFORCED", form: asBoolean, worst: keepFalse},
	0x000b0001:       {name: "KSR_SIGNATURE"}, tagDRTMStateAuth: {name: "DRTM_STATE_AUTH"},
	tagDRTMSMM: {name: "DRTM_SMM", form: asValue},
	0x000c0003: {name: "DRTM_AMD_SMM_HASH"}, 0x000c0004: {name: "DRTM_AMD_SMM_SIGNER_KEY"},
}

// tagName returns the name under which policies find a tag.
func tagName(tag uint32) string {
	if info, ok := tags[tag]; ok {
		return eventPrefix + info.name
	}
	return fmt.Sprintf("%s%#08x", eventPrefix, tag)
}

// number reads a payload of 1, 2, 4 or 8 bytes.
func (i *Item) number() (uint64, bool) {
	switch len(i.Data) {
	case 1:
		return uint64(i.Data[0]), true
	case 2:
		return uint64(binary.LittleEndian.Uint16(i.Data)), true
	case 4:
		return uint64(binary.LittleEndian.Uint32(i.Data)), true
	case 8:
		return binary.LittleEndian.Uint64(i.Data), true
	}
	return 0, false
}

// find returns the items of a tag, at any depth.
func find(list []Item, tag uint32, found []*Item) []*Item {
	for i := range list {
		if list[i].Tag == tag {
			found = append(found, &list[i])
		}
		found = find(list[i].Items, tag, found)
	}
	return found
}
