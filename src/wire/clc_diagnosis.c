/* SPDX-License-Identifier: MIT */
#include "wire/clc.h"

static const struct {
	uint32_t diagnosis;
	const char *text;
} texts[] = {
	{CLC_NO_MEMORY, "no memory"},
	{CLC_TIMEOUT_CONFIRM_LINK, "CONFIRM LINK did not come in time"},
	{CLC_TIMEOUT_ADD_LINK, "ADD LINK did not come in time"},
	{CLC_CONFIGURATION, "configuration error"},
	{CLC_PEER_WITHOUT_SMC, "the peer does not offer SMC"},
	{CLC_IPSEC, "IPsec is in use"},
	{CLC_NO_DEVICE, "no SMC device"},
	{CLC_NO_SMCD_DEVICE, "no SMC-D device"},
	{CLC_NO_SMCR_DEVICE, "no SMC-R device"},
	{CLC_NO_ISM_V2, "no support for ISMv2"},
	{CLC_NO_V2_EXTENSION, "no v2 extension"},
	{CLC_NO_SMCD_V2_EXTENSION, "no SMC-Dv2 extension"},
	{CLC_NO_SEID, "no system EID"},
	{CLC_NO_SMCD_V2_DEVICE, "no SMC-Dv2 device"},
	{CLC_NO_UEID, "no user EID"},
	{CLC_RELEASE, "another release than agreed on"},
	{CLC_MAX_CONNECTIONS, "maximum of connections not agreed on"},
	{CLC_MAX_LINKS, "maximum of links not agreed on"},
	{CLC_MODE, "mode or version was not proposed"},
	{CLC_EYECATCHER_IN_RMB, "the peer uses eye catchers in its RMBs"},
	{CLC_OPTION, "a socket option that SMC does not have"},
	{CLC_PREFIX, "no common IP prefix"},
	{CLC_VLAN, "VLAN of the interface not known"},
	{CLC_ISM_VLAN, "VLAN not registered with the ISM device"},
	{CLC_NO_ACTIVE_LINK, "no active link in the link group"},
	{CLC_NO_SERVER_LINK, "the server's link is not known"},
	{CLC_VERSION, "another SMC version"},
	{CLC_MAX_DMB, "no more SMC-D buffers"},
	{CLC_NO_ROUTE, "no route to the peer's RoCE address"},
	{CLC_NOT_INDIRECT, "the route to the peer's RoCE address is direct"},
	{CLC_SYNCHRONISATION, "link groups out of sync"},
	{CLC_PEER_DECLINED, "the peer declined"},
	{CLC_INTERNAL, "internal error"},
	{CLC_NO_RKEY_SLOT, "no room for the peer's rkey"},
	{CLC_LINK_NOT_READY, "the link did not become ready"},
	{CLC_RMB_NOT_REGISTERED, "the RMB could not be registered"},
};

const char *clc_diagnosis_text(uint32_t diagnosis)
{
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		if (texts[i].diagnosis == diagnosis)
			return texts[i].text;
	return NULL;
}
