"""Tools for users and developers: `tritile NAME`, in a checkout also `tritile NAME`.

The wheel holds this folder as the package `tritile_tools`, since others' packages are called
`tools` too; so imports in here are relative. Only tools/board needs a checkout.
"""
