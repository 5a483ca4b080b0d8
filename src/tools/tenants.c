/* SPDX-License-Identifier: ISC */
#include "tools/tenants.h"

#include "base/mem.h"

#define TENANT_BYTES_MAX 64

/* Into a URL it goes as it is. */
static bool is_tenant_name(const char *name)
{
	size_t n = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");
	return n > 0 && n <= TENANT_BYTES_MAX && name[n] == '\0';
}

static bool add(struct tenants *tenants, const struct wv_class *class, const cJSON *tenant)
{
	const char *name = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tenant, "name"));
	const char *activity =
		cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(tenant, "activityStatus"));

	if (name == NULL || !is_tenant_name(name)) {
		(void)tool_complain("%s: a tenant has a name that none can have", class->name);
		return false;
	}
	if (activity != NULL && strcmp(activity, "HOT") != 0 && strcmp(activity, "ACTIVE") != 0) {
		(void)tool_complain("%s: tenant %s is %s and cannot be read; make it active", class->name, name, activity);
		return false;
	}
	tenants->names[tenants->n++] = name;
	return true;
}

static bool has_tenants(const struct wv_class *class)
{
	return cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(
		cJSON_GetObjectItemCaseSensitive(class->json, "multiTenancyConfig"), "enabled"));
}

bool tenants_read(struct tenants *tenants, struct tool *tool, const struct wv_class *class)
{
	char path[300];
	const cJSON *tenant;
	bool ok = true;

	*tenants = (struct tenants){0};
	if (!has_tenants(class)) {
		tenants->names = mem_zalloc(sizeof(tenants->names[0]));
		tenants->n = 1;
		return true;
	}
	(void)snprintf(path, sizeof(path), "/v1/schema/%s/tenants", class->name);
	if (rest_call(tool->rest, "GET", path, NULL, &tenants->json) != 200 || !cJSON_IsArray(tenants->json)) {
		(void)tool_complain("%s", rest_why(tool->rest));
		tenants_release(tenants);
		return false;
	}
	tenants->names = mem_zalloc(((size_t)cJSON_GetArraySize(tenants->json) + 1) * sizeof(tenants->names[0]));
	cJSON_ArrayForEach(tenant, tenants->json)
		ok = ok && add(tenants, class, tenant);
	if (!ok)
		tenants_release(tenants);
	return ok;
}

void tenants_release(struct tenants *tenants)
{
	mem_free(tenants->names);
	cJSON_Delete(tenants->json);
	*tenants = (struct tenants){0};
}
