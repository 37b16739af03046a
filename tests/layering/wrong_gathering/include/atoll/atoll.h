// Layer: all
#pragma once
