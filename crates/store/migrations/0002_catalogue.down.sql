DROP TABLE addresses, address_pools, vpcs, images, sizes, hosts, regions;
