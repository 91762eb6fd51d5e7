package control

// locations are the regions of Azure with their short names, and "local" for
// those who have none. The default provider serves all of them.
var locations = []struct{ name, short string }{
	{"local", "local"},
	{"australiacentral", "cau"}, {"australiacentral2", "cau2"}, {"australiaeast", "eau"},
	{"australiasoutheast", "sau"},
	{"austriaeast", "ate"}, {"brazilsouth", "sbr"}, {"brazilsoutheast", "sebr"}, {"canadacentral", "cac"},
	{"canadaeast", "cae"},
	{"centralindia", "cin"}, {"centralus", "cus"}, {"centraluseuap", "cuse"}, {"chilecentral", "clc"},
	{"eastasia", "easia"},
	{"eastus", "eus"}, {"eastus2", "eus2"}, {"eastus2euap", "eus2e"}, {"francecentral", "frc"},
	{"francesouth", "frs"},
	{"germanynorth", "den"}, {"germanywestcentral", "dewc"}, {"israelcentral", "ilc"}, {"italynorth", "itn"},
	{"japaneast", "jpe"},
	{"japanwest", "jpw"}, {"jioindiacentral", "jinc"}, {"jioindiawest", "jinw"}, {"koreacentral", "krc"},
	{"koreasouth", "krs"},
	{"malaysiasouth", "mys"}, {"mexicocentral", "mxc"}, {"newzealandnorth", "nzn"}, {"northcentralus", "ncus"},
	{"northeurope", "neu"}, {"norwayeast", "noe"}, {"norwaywest", "now"}, {"polandcentral", "plc"},
	{"southafricanorth", "san"},
	{"southafricawest", "saw"}, {"southcentralus", "scus"}, {"southindia", "sin"}, {"southeastasia", "sasia"},
	{"spaincentral", "esc"}, {"swedencentral", "sec"}, {"swedensouth", "ses"}, {"switzerlandnorth", "swn"},
	{"switzerlandwest", "sww"}, {"taiwannorth", "twn"}, {"taiwannorthwest", "twnw"}, {"uaecentral", "uaec"},
	{"uaenorth", "uaen"},
	{"uksouth", "uks"}, {"ukwest", "ukw"}, {"westcentralus", "wcus"}, {"westeurope", "weu"},
	{"westindia", "win"},
	{"westus", "wus"}, {"westus2", "wus2"}, {"westus3", "wus3"},
}
