package eventlog

import "fmt"

// Type is the type of an event (TCG PC Client Platform Firmware Profile, table
// 27). No digest covers it: the author of the log chose it.
type Type uint32

// The types that are looked into.
const (
	Separator           Type = 0x00000004
	Action              Type = 0x00000005
	EventTag            Type = 0x00000006
	CRTMVersion         Type = 0x00000008
	CompactHash         Type = 0x0000000c
	IPL                 Type = 0x0000000d
	NoAction            Type = 0x00000003 // never extended
	VariableConfig      Type = 0x80000001
	VariableBoot        Type = 0x80000002
	BootApplication     Type = 0x80000003
	BootDriver          Type = 0x80000004
	GPTEvent            Type = 0x80000006
	EFIAction           Type = 0x80000007
	HandoffTables       Type = 0x80000009
	HandoffTables2      Type = 0x8000000b
	VariableBoot2       Type = 0x8000000c
	VariableAuthority   Type = 0x800000e0
	imaMeasurementEvent      = "IMA_MEASUREMENT_EVENT"
)

var typeNames = map[Type]string{
	0: "EV_PREBOOT_CERT", 1: "EV_POST_CODE", 2: "EV_UNUSED", NoAction: "EV_NO_ACTION",
	Separator: "EV_SEPARATOR", Action: "EV_ACTION",
	EventTag: "EV_EVENT_TAG", 7: "EV_S_CRTM_CONTENTS", CRTMVersion: "EV_S_CRTM_VERSION",
	9: "EV_CPU_MICROCODE", 0xa: "EV_PLATFORM_CONFIG_FLAGS",
	0xb: "EV_TABLE_OF_DEVICES", CompactHash: "EV_COMPACT_HASH", IPL: "EV_IPL", 0xe: "EV_IPL_PARTITION_DATA",
	0xf:  "EV_NONHOST_CODE",
	0x10: "EV_NONHOST_CONFIG", 0x11: "EV_NONHOST_INFO", 0x12: "EV_OMIT_BOOT_DEVICE_EVENTS",
	0x13:       "EV_POST_CODE2",
	0x80000000: "EV_EFI_EVENT_BASE", VariableConfig: "EV_EFI_VARIABLE_DRIVER_CONFIG",
	VariableBoot:    "EV_EFI_VARIABLE_BOOT",
	BootApplication: "EV_EFI_BOOT_SERVICES_APPLICATION",
	BootDriver:      "EV_EFI_BOOT_SERVICES_DRIVER", 0x80000005: "EV_EFI_RUNTIME_SERVICES_DRIVER",
	GPTEvent: "EV_EFI_GPT_EVENT", EFIAction: "EV_EFI_ACTION",
	0x80000008: "EV_EFI_PLATFORM_FIRMWARE_BLOB", HandoffTables: "EV_EFI_HANDOFF_TABLES",
	0x8000000a:     "EV_EFI_PLATFORM_FIRMWARE_BLOB2",
	HandoffTables2: "EV_EFI_HANDOFF_TABLES2", VariableBoot2: "EV_EFI_VARIABLE_BOOT2",
	0x8000000d: "EV_EFI_GPT_EVENT2",
	0x80000010: "EV_EFI_HCRTM_EVENT", VariableAuthority: "EV_EFI_VARIABLE_AUTHORITY",
	0x800000e1: "EV_EFI_SPDM_FIRMWARE_BLOB", 0x800000e2: "EV_EFI_SPDM_FIRMWARE_CONFIG",
	0x800000e3: "EV_EFI_SPDM_DEVICE_POLICY",
	0x800000e4: "EV_EFI_SPDM_DEVICE_AUTHORITY",
}

// String returns the TCG's name, or the number of a type that has none.
func (t Type) String() string {
	if name, ok := typeNames[t]; ok {
		return name
	}
	return fmt.Sprintf("%#08x", uint32(t))
}

// coversData reports whether the standard says that the digest of an event of
// this type is that of its data.
func (t Type) coversData() bool {
	switch t {
	case EventTag, Separator, Action, EFIAction, CRTMVersion, VariableConfig, VariableAuthority, GPTEvent,
		HandoffTables, HandoffTables2,
		VariableBoot, VariableBoot2, CompactHash:
		return true
	default:
		return false
	}
}
